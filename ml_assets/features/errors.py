"""The error of this package."""


class FeatureError(ValueError):
    """A feature view cannot be computed from the frames it was given; the message says what to change."""
