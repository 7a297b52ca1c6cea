"""Why two tables cannot be compared, in one line."""


class WrongRequest(ValueError):
    """What was requested cannot be done: no such file, column or format."""


class UnusableRows(RuntimeError):
    """The rows that are there cannot be read or compared."""
