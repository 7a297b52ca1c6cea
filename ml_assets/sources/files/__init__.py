"""Delivered files: where they lie, what they hold, and when they change."""
