"""What a server and the process that answers its large requests send each other, each followed by a body."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_assets.serving.http.exchange import Elsewhere
from ml_assets.serving.http.observability.row_counts import RowCounts
from ml_assets.serving.rollout.champions import Serving

READY = "ready"
"""What the process says once it can answer."""


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
