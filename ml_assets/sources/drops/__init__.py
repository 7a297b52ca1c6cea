"""Drops: the periods that a source is cut into, and which of them a row belongs to."""
