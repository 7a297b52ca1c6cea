"""Probabilities and intervals that hold: calibrated on rows that the fit has not seen."""
