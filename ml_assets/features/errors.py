"""The error that a feature view which cannot be computed raises."""


class FeatureError(ValueError):
    """A feature view cannot be computed from the frames it was given; the message says what to change."""
