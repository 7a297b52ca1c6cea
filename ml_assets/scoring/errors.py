"""What can be wrong with rows that a model is to score."""


class InvalidRows(ValueError):
    """Rows that a model cannot score as they are; the message names the row and the feature."""
