"""Connections: how many, how long they may take over a request's head, and the processes that serve them."""
