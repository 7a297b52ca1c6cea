"""Trackers: MLflow, which is the registry too, and what else listens to the same runs."""
