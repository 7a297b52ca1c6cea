"""Spines that are made: every entity of a table, at every moment of a calendar, while it is active."""
