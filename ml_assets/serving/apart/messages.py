"""What a server and the process that answers its large requests send each other in JSON, each followed by a body."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from ml_assets.serving.http.exchange import Elsewhere
from ml_assets.serving.http.observability.row_counts import RowCounts
from ml_assets.serving.rollout.champions import Serving

READY = b"ready"
"""What the process says once it can answer."""

NO_REQUEST = b""
"""Stands for a request where the server asks what is counted so far."""

END = b"end"
"""Stands for a request, without a body, where the server ends: the last reply has what is counted in all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for predictions.

    Attributes:
        headers: names in lower case.
        at: moment of the request, microseconds.
        key: name of the key that let it in; empty for none.
        began: when its head was there, by the clock of `time.perf_counter`, which processes of a machine share.
        serving: the versions that are to answer.
    """

    path: str
    method: str
    headers: Mapping[bytes, bytes]
    request_id: str
    at: int
    key: str
    began: float
    serving: Serving

    def encode(self) -> bytes:
        """Return it as JSON."""
        return _encoded(self, headers=_texts(self.headers.items()))

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Read what `encode` returns."""
        plain = orjson.loads(message)
        read = {"headers": dict(_bytes(plain["headers"])), "serving": _serving(plain["serving"])}
        return cls(**plain | read)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request.

    Attributes:
        able: whether it was looked at; False where the versions that are to answer cannot be loaded.
        refusal: message, status and headers; None for an answer.
        headers: of an answer.
        elsewhere: what is to be told; None where no version was asked.
        counts: of the rows; None where none was predicted.
        counters: what the process has counted of its log so far, by name.
        fault: why it cannot log now; empty while it can.
    """

    able: bool = True
    refusal: tuple[str, int, Mapping[str, str]] | None = None
    media_type: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    elsewhere: Elsewhere | None = None
    counts: RowCounts | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    fault: str = ""

    def encode(self) -> bytes:
        """Return it as JSON."""
        told, counts = self.elsewhere, self.counts
        return _encoded(
            self,
            headers=_texts(self.headers),
            elsewhere=None if told is None else [told.name, told.version, sorted(told.roles)],
            counts=None if counts is None else counts.plain(),
        )

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Read what `encode` returns."""
        plain = orjson.loads(message)
        told, counts, refusal = plain["elsewhere"], plain["counts"], plain["refusal"]
        read = {
            "refusal": None if refusal is None else tuple(refusal),
            "headers": _bytes(plain["headers"]),
            "elsewhere": None if told is None else Elsewhere(*told),
            "counts": None if counts is None else RowCounts.of_plain(counts),
        }
        return cls(**plain | read)


def encode_serving(serving: Serving) -> bytes:
    """Return the versions that serve as JSON."""
    return orjson.dumps(serving)


def decode_serving(message: bytes) -> Serving:
    """Read what `encode_serving` returns."""
    return _serving(orjson.loads(message))


def _encoded(message: Asked | Reply, **fields: Any) -> bytes:
    plain = {name: getattr(message, name) for name in message.__slots__}
    return orjson.dumps(plain | fields, option=orjson.OPT_SERIALIZE_NUMPY)


def _serving(plain: Mapping[str, list]) -> Serving:
    return {model: (champion, challenger) for model, (champion, challenger) in plain.items()}


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return headers as text: JSON has no bytes."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _bytes(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
