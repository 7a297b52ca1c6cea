"""Fairness: whether a model decides, and errs, alike for the groups of declared columns."""
