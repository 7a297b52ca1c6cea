"""Samples of rows that are not declared yet, and what they tell."""
