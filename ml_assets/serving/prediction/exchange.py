"""One request that is being answered, and what is told of it afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml_assets.online.lookup import Fetched
from ml_assets.serving.rollout.champions import Served


@dataclass(frozen=True, slots=True)
class Question:
    """What models have to say before a request can be answered.

    Attributes:
        parts: versions with the rows that each is asked about.
        finish: makes the body of the answer from theirs, in the same order.
    """

    parts: Sequence[tuple[Served, np.ndarray]]
    finish: Callable[[list[dict[str, list]]], bytes]

    def answer(self) -> bytes:
        """Ask and finish at once."""
        return self.finish([served.predictor.predict(matrix) for served, matrix in self.parts])


Handler = Callable[["Exchange"], Question | bytes]
"""Reads a request, or answers it if no model is asked; raises BadRequest. What it gives may run on another thread than
the event loop's."""


@dataclass(frozen=True, slots=True)
class Post:
    """A path that takes POST.

    Attributes:
        route: as it is declared, such as ``/v2/models/{model}/infer``.
        handler: answers it.
        at_once: bytes of a body up to which it is answered on the event loop: handing it to a thread costs more.
        name: the model or view that the path names; empty if it names none.
        version: the version that it names.
    """

    route: str
    handler: Handler
    at_once: int
    name: str = ""
    version: str | None = None


@dataclass(slots=True)
class Scored:
    """A row that was answered: by whom, from what, and what."""

    served: Served
    role: str
    features: Mapping[str, Any]
    answer: dict[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    fetched: Fetched | None = None


class Exchange:
    """A request on its way through a handler, which leaves here what is to be counted and logged.

    Attributes:
        served: the version that the request began with; None where none was asked.
        rows: (model, version) -> rows that it predicted.
        missing: feature values that were null.
        scored: the rows that were answered.
        reply_headers: of the answer.
    """

    __slots__ = ("at", "body", "headers", "missing", "path", "reply_headers", "request_id", "rows", "scored", "served")

    def __init__(self, path: Post, headers: Mapping[bytes, bytes], request_id: str, at: int) -> None:
        """Begin.

        Args:
            headers: of the request, names in lower case.
            at: the moment of the request, microseconds.
        """
        self.path = path
        self.headers = headers
        self.request_id = request_id
        self.at = at
        self.body = b""
        self.served: Served | None = None
        self.reply_headers: list[tuple[bytes, bytes]] = []
        self.rows: dict[tuple[str, str], int] = {}
        self.missing = 0
        self.scored: Sequence[Scored] = ()

    def header(self, name: bytes) -> str | None:
        """A header of the request; None if it is not there."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")
