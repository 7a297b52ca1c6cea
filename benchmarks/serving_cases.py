"""What servers are asked: the servers, how each is started, and the bodies of the requests that it gets."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Body = Callable[[Sequence[dict[str, Any]]], Any]
"""Makes the JSON of a request about some rows."""

SIZES = (1, 100, 1000)
"""Rows of a request."""


@dataclass(frozen=True)
class Case:
    """What a server is asked again and again.

    Attributes:
        what: said behind the server's name.
        bodies: of the requests, in turn.
        rows: of a request.
    """

    what: str
    path: str
    bodies: Sequence[bytes]
    rows: int = 1


@dataclass(frozen=True)
class Server:
    """How to start a server at a port, and what to ask it once its path `ready` answers."""

    name: str
    command: Callable[[int], list[str]]
    ready: str
    cases: Sequence[Case]
    environment: dict[str, str] = field(default_factory=dict)


def cases(
    what: str, path: str, rows: Sequence[dict[str, Any]], body: Body, sizes: Iterable[int] = SIZES
) -> Iterator[Case]:
    """Ask about rows one by one, and many at once."""
    for size in sizes:
        several = f", {size:,} rows" if size > 1 else ""
        parts = [rows[begin : begin + size] for begin in range(0, len(rows) - size + 1, size)]
        yield Case(what + several, path, [json.dumps(body(part)).encode() for part in parts], size)
