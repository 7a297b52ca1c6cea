"""What a server takes on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the server takes on.

    Attributes:
        body: bytes of a request.
        rows: rows of a request.
        waiting: requests answered at the same time; further ones are turned away with 503.
        reading: requests whose bodies are on their way at the same time; further ones are turned away too.
        body_seconds: seconds that a body may take to arrive.
        large: bytes of a request for predictions from which on a process of its own answers it, where there is one.
        look_every: seconds between two looks for a new champion.
        keys: SHA-256 of API keys that may do everything, in hex; empty lets everybody in where no file of keys is.
        replay: whether each request says its own moment.
    """

    body: int = 8 << 20
    rows: int = 10_000
    waiting: int = 256
    reading: int = 1024
    body_seconds: float = 20.0
    large: int = 64 << 10
    look_every: float = 5.0
    keys: tuple[str, ...] = ()
    replay: bool = False
