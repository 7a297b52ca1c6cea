"""What can be wrong with a request."""


class BadRequest(ValueError):
    """A request that cannot be answered as it is; the text names the field and says what it must be.

    Attributes:
        status: HTTP status, 400 unless something more fitting is given.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
