"""Digests of what a drop's features are made of, to see which corrections reach them."""
