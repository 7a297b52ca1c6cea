"""A feature view computed the slow and plain way: cut the future off, then aggregate what is left.

Shares nothing with the engine but the reading of the declaration, so that each can be checked with the other.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.audit.plain_calendar import plain_calendar
from ml_assets.features.audit.plain_plans import plain_plans
from ml_assets.features.audit.plain_summaries import magnitude, present, summarise_plainly
from ml_assets.features.derived import parse_derived
from ml_assets.features.expressions import parse
from ml_assets.features.spec import FeatureViewSpec


@dataclass(frozen=True)
class EntityHistory:
    """All table rows of one entity, future ones among them.

    Attributes:
        rows: in time order if the table has a `known_at`.
        known_at: their microseconds, None for a static table.
    """

    rows: pl.DataFrame
    known_at: np.ndarray | None

    @classmethod
    def of(cls, rows: pl.DataFrame, known_at: str | None) -> "EntityHistory":
        """Sort the rows; those never known are dropped."""
        if known_at is None:
            return cls(rows, None)
        rows = rows.drop_nulls(known_at).sort(known_at)
        return cls(rows, rows[known_at].to_physical().to_numpy())

    @property
    def moments(self) -> Sequence[int]:
        """The moments of `known_at`.

        Raises:
            ValueError: the table is static.
        """
        if self.known_at is None:
            raise ValueError("rows of a static table have no moments")
        return cast("Sequence[int]", self.known_at)

    def known(self, moment: int, within: str | None) -> pl.DataFrame:
        """Select rows with known_at <= moment (microseconds) and, given a duration, known_at > moment - within."""
        end = bisect_right(self.moments, moment)
        start = 0
        if within is not None:
            start = bisect_right(self.moments, moment - parse_duration(within) // timedelta(microseconds=1))
        return self.rows.slice(start, end - start)

    def last_known(self, moment: int, within: str | None) -> pl.DataFrame:
        """Select the known rows that became known last: several if they share their moment."""
        end = bisect_right(self.moments, moment)
        known = self.known(moment, within)
        return known if known.is_empty() else known.tail(end - bisect_left(self.moments, self.moments[end - 1]))


@dataclass(frozen=True)
class PlainFeatures:
    """The features of one spine row.

    Attributes:
        values: feature -> value.
        magnitudes: float feature of a window -> the size of the numbers that were added up (for a mean or a
            standard deviation: their mean size), to which the rounding error of a plain sum is proportional.
    """

    values: dict[str, Any]
    magnitudes: dict[str, float]


def recompute(
    view: FeatureViewSpec,
    row: pl.DataFrame,
    history: EntityHistory,
    moment: int,
    types: Mapping[str, pl.DataType] | None = None,
) -> PlainFeatures:
    """Compute the features of one spine row (a frame of height 1) at `moment` (microseconds).

    Args:
        types: of features that derived ones read, which a null does not tell.
    """
    latest = _last_row(view, history.last_known(moment, view.ttl), view.latest) if view.latest else {}
    for name, lag in view.lags.items():
        latest |= _last_row(view, history.last_known(moment - _ticks(lag.offset), lag.ttl), {name: lag.of})
    summaries = _summaries(view, history, moment)
    planned, sizes = plain_plans(view, row, history.known(moment, None), moment) if view.planned else ({}, {})
    lookups = _first_row(view, history.rows, view.lookups)
    own = _first_row(view, row, view.request) | plain_calendar(view, row, moment)
    values = latest | summaries.values | planned | lookups | own
    return PlainFeatures(values | _derived(view, values, types or {}), summaries.magnitudes | sizes)


def _ticks(duration: str | None) -> int:
    return 0 if duration is None else parse_duration(duration) // timedelta(microseconds=1)


def _last_row(view: FeatureViewSpec, last: pl.DataFrame, wanted: Mapping[str, str]) -> dict[str, Any]:
    texts = [*view.order_by, *view.latest.values(), *(lag.of for lag in view.lags.values())]
    ranks = {str(i): text for i, text in enumerate(texts)}
    ranked = last.select(parse(view.name, text).alias(rank) for rank, text in ranks.items())
    ranked = ranked.with_row_index("row")
    return _first_row(view, last[ranked.sort(*ranks, nulls_last=False)["row"].tail(1)], wanted)


def _derived(view: FeatureViewSpec, values: Mapping[str, Any], types: Mapping[str, pl.DataType]) -> dict[str, Any]:
    """Evaluate derived features on one row, in which NaN is null; what is not finite is null."""
    present = {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in values.items()}
    row = pl.DataFrame([pl.Series(name, [value], types.get(name), strict=False) for name, value in present.items()])
    derived = {
        name: row.select(parse_derived(view.name, text).alias(name)).item() for name, text in view.derived.items()
    }
    return {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in derived.items()}


def _first_row(view: FeatureViewSpec, rows: pl.DataFrame, expressions: Mapping[str, str]) -> dict[str, Any]:
    if rows.is_empty() or not expressions:
        return dict.fromkeys(expressions)
    return (
        rows.head(1).select(parse(view.name, text).alias(name) for name, text in expressions.items()).row(0, named=True)
    )


def _summaries(view: FeatureViewSpec, history: EntityHistory, moment: int) -> PlainFeatures:
    texts = {base: "TRUE" if spec.of == ALL_ROWS else spec.of for base, spec in view.aggregates.items()}
    windows = dict.fromkeys((view.aggregates[b].offset, window) for b, _, window in view.aggregate_features.values())
    observed = {(o, w): _observed(view, history.known(moment - _ticks(o), w), texts) for o, w in windows}
    summaries = PlainFeatures({}, {})
    for name, (base, function, window) in view.aggregate_features.items():
        values = observed[view.aggregates[base].offset, window][base]
        summaries.values[name] = summarise_plainly(values, function)
        summaries.magnitudes[name] = magnitude(values, function)
    return summaries


def _observed(view: FeatureViewSpec, inside: pl.DataFrame, texts: Mapping[str, str]) -> dict[str, pl.Series]:
    values = inside.with_columns(parse(view.name, text).alias(base) for base, text in texts.items())
    return {base: present(values[base]) for base in texts}
