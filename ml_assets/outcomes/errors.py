"""The error that an outcome which cannot be computed raises."""


class OutcomeError(ValueError):
    """An outcome cannot be computed from the frames it was given; the message says what to change."""
