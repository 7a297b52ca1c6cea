"""What cannot be scaffolded, and which option would help."""


class ScaffoldError(ValueError):
    """Nothing sensible can be written; the message says which option to give."""
