"""What can go wrong on the way to a receiver, told without the secrets that lead there."""


class NotSent(Exception):
    """A notice that a receiver did not take: where, why and what to do, in one line that holds no secret.

    `again` says whether another attempt could help.
    """

    def __init__(self, place: str, reason: str, again: bool = True) -> None:
        super().__init__(f"{place} {reason}; check the declared address and its receiver")
        self.again = again


def reason_of(error: Exception, timeout_s: float) -> str:
    """Return the operating system's message, or the error's type; an error's own words may repeat a URL or a
    password."""
    # urllib and smtplib raise errors of their own while they handle the one that tells more.
    failures = [failure for failure in (error.__context__, error) if isinstance(failure, OSError)]
    if any(isinstance(failure, TimeoutError) for failure in failures):
        return f"did not answer within {timeout_s:g} s"
    message = next((failure.strerror for failure in failures if failure.strerror), type(error).__name__)
    return f"cannot be reached ({message})"
