"""Predictions as tables: scored rows, and those that stand whatever becomes known later."""
