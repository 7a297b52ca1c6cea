"""Drift of drops, and the profiles that it is computed of and that are kept."""
