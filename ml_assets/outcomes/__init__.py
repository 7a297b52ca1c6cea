"""Outcomes: what comes of a row, as an aggregate over the time after it, and the moment at which that is known."""
