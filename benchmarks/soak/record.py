"""What was asked and answered, what failed and why, and what the log should hold of it."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import polars as pl
from soak.connection import Lost
from soak.processes import Family
from soak.questions import Scores

WITHIN = 1e-6
"""How far an answer may be from batch: what scores single rows adds float32 in another order."""

KNOWN = ("fresh", "unseen")


@dataclass
class Record:
    """Counts of a run.

    Attributes:
        scores: what batch says.
        timed: views whose facts have a moment.
        answered: request -> rows that were answered about.
        lost: requests without a response.
    """

    family: Family
    scores: Scores
    timed: Set[str]
    requests: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    answered: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    compared: int = 0
    incomplete: int = 0

    def lose(self, what: str, lost: Lost, request: str = "", rows: int = 0) -> None:
        """Count a request without a response."""
        if request:
            self.lost[request] = rows
        (self.excused if self.family.excuses(lost.opened, lost.worker) else self.failed)[f"{what}: {lost.reason}"] += 1

    def refuse(self, what: str, status: int, body: bytes) -> None:
        """Count a response that is none of those wanted."""
        self.failed[f"{what}: {status} {body[:200].decode(errors='replace')}"] += 1

    def answer(self, request: str, flights: Sequence[str], moment: datetime, body: bytes) -> None:
        """Count the response to a request about flights, and hold each row against batch."""
        told = orjson.loads(body)
        self.answered[request] = len(flights)
        self.versions[told["version"]] += 1
        self.rows += len(flights)
        if len(told["predictions"]) != len(flights):
            self.failed["a response with other rows than the request"] += 1
        for flight, row in zip(flights, told["predictions"], strict=False):
            self._compare(flight, moment, told["version"], row)

    def _compare(self, flight: str, moment: datetime, version: str, row: Mapping[str, Any]) -> None:
        until = [_moment(view["complete_until"]) for name, view in row["features"].items() if name in self.timed]
        wrong = {name: view["state"] for name, view in row["features"].items() if view["state"] not in KNOWN}
        if wrong:
            self.failed[f"features are {wrong}"] += 1
        elif min(until) < moment:
            self.incomplete += 1
        else:
            self.compared += 1
            expected = self.scores[flight, moment][version]
            if abs(row["score"] - expected) > WITHIN:
                self.failed[f"version {version} answers other than batch"] += 1


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Logged:
    """What the log holds beside what was answered.

    Attributes:
        rows: of the log.
        missing: requests that were answered and of which a row is not there.
        doubled: rows that are there more than once.
        strangers: requests that nobody made.
        unanswered: requests that were logged and whose answer a killed worker could not send.
    """

    rows: int
    missing: int
    doubled: int
    strangers: int
    unanswered: int


def compare_log(log: pl.DataFrame, record: Record) -> Logged:
    """Hold the log against what was answered: a row for each, once.

    Args:
        log: `request_id` and `row` of every row of the table.
    """
    counted = log.group_by("request_id").agg(pl.len().alias("rows"), pl.col("row").n_unique().alias("different"))
    different = dict(counted.select("request_id", "different").iter_rows())
    asked = record.answered | record.lost
    return Logged(
        rows=log.height,
        missing=sum(different.get(request, 0) != rows for request, rows in record.answered.items()),
        doubled=int((counted["rows"] - counted["different"]).sum()),
        strangers=len(different.keys() - asked.keys()),
        unanswered=len(different.keys() & record.lost.keys()),
    )
