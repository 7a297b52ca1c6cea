"""Drift statistics side by side, and the interface that they share."""
