"""What is asked of the server, drawn from the flights of a day, and what batch says to each question."""

import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from flights_served import KEY, TIME, Flights, batch_scores

GRID = timedelta(minutes=15)
"""Between the moments of questions about many flights."""

Scores = Mapping[tuple[str, datetime], Mapping[str, float]]
"""(flight, moment) -> version -> score."""


@dataclass(frozen=True)
class Question:
    """Flights, and the moment that a request asks about them."""

    moment: datetime
    rows: list[dict[str, Any]]

    @property
    def flights(self) -> list[str]:
        """Return which flights they are, in their order."""
        return [row[KEY] for row in self.rows]


class Questions:
    """Questions in the order of their moments.

    Args:
        frame: rows of `Flights.rows`; those of one moment are one question.
    """

    def __init__(self, frame: pl.DataFrame, *, alone: bool) -> None:
        rows = frame.to_dicts()
        together: dict[Any, list[dict]] = {}
        for at, row in enumerate(rows):
            together.setdefault((row[TIME], at if alone else 0), []).append(row)
        self._questions = [
            Question(moment, [{name: value for name, value in row.items() if name != TIME} for row in own])
            for (moment, _), own in together.items()
        ]
        self._moments = [question.moment for question in self._questions]

    def draw(self, drawn: random.Random, begin: datetime, until: datetime) -> Question | None:
        """Return a question about a moment in (begin, until]; None where there is none."""
        first, end = bisect_right(self._moments, begin), bisect_right(self._moments, until)
        return self._questions[drawn.randrange(first, end)] if first < end else None


def own_moments(flights: Flights, begin: datetime, until: datetime) -> pl.DataFrame:
    """Return the flights in (begin, until], each at the moment at which it is predicted."""
    return flights.rows(begin, until)


def grid_moments(flights: Flights, begin: datetime, until: datetime, many: int) -> pl.DataFrame:
    """Return for each moment of a grid the `many` flights that are predicted next."""
    following = flights.rows(begin, until + timedelta(days=1))
    moments = [begin + GRID * at for at in range(int((until - begin) / GRID) + 1)]
    at = [pl.lit(moment).cast(following.schema[TIME]).alias(TIME) for moment in moments]
    parts = [following.filter(pl.col(TIME) > moment).head(many) for moment in moments]
    return pl.concat([part.with_columns(moment) for part, moment in zip(parts, at, strict=True)])


def expected_scores(flights: Flights, rows: pl.DataFrame) -> Scores:
    """Return what batch says of each row by two versions, of which it registers the second."""
    features = flights.features(rows)
    versions = flights.versions(["1", flights.register_half(features)])
    scores = {version: batch_scores(model, features) for version, model in versions.items()}
    keys = zip(rows[KEY], rows[TIME], strict=True)
    return {key: {version: scores[version][at] for version in scores} for at, key in enumerate(keys)}
