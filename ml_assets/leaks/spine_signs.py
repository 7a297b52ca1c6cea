"""Moments of the rows to predict that contradict the declaration."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.features.audit.timing import moment_in_utc
from ml_assets.features.expressions import columns_read
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.modelling.context import ModelContext
from ml_assets.training.evaluation.leaks.finding import TRUST, Finding
from ml_assets.training.spec import LeakSpec

_ENOUGH = 20  # rows without an outcome that show whether a moment is filled in before it
_FILLED = 0.5


def spine_findings(context: ModelContext, spine: pl.LazyFrame, spec: LeakSpec) -> Iterator[Finding]:
    """Name outcomes known before the prediction, and moments of a row that lie after it and are read by a feature.

    Args:
        spine: the spine's rows with their labels, where they are known.
    """
    yield from _outcome_before(context, spine, spec)
    for view in context.views:
        yield from _later_moments(context, view, spine, spec)


def _outcome_before(context: ModelContext, spine: pl.LazyFrame, spec: LeakSpec) -> Iterator[Finding]:
    schema, label, time = spine.collect_schema(), context.spec.label, context.spec.spine.time
    before = moment_in_utc(label.known_at, schema) < moment_in_utc(time, schema)
    known = spine.filter(pl.col(label.column).is_not_null())
    share = known.select(before.mean()).collect(engine="streaming").item()
    if share is not None and share >= spec.early:
        yield Finding(
            "label_before",
            label.known_at,
            share,
            spec.early,
            f"{share:.1%} of the outcomes are known before the prediction time {time}: there is nothing to predict, or "
            "one of the two moments is another than it seems (the event's time, another time zone)",
            "let label.known_at be when the outcome was recorded, and spine.time when the prediction is needed",
        )


@dataclass(frozen=True)
class _Moment:
    """What a moment column of the rows to predict looks like: shares of rows, and its newest value."""

    later: float
    missing: float
    filled_without_outcome: float
    open_rows: int
    newest: datetime
    newest_known: datetime

    @property
    def is_planned(self) -> bool:
        """Whether it is there before the outcome: it lies in the future, or open rows have it."""
        enough = self.open_rows >= _ENOUGH
        return self.newest > self.newest_known or (enough and self.filled_without_outcome >= _FILLED)


def _later_moments(
    context: ModelContext, view: FeatureViewSpec, spine: pl.LazyFrame, spec: LeakSpec
) -> Iterator[Finding]:
    schema, time = spine.collect_schema(), context.spec.spine.time
    read = {feature: columns_read(view.name, [text]) for feature, text in view.request.items()}
    read |= {base: [declared.at] for base, declared in view.calendar.items() if declared.at}
    for feature, columns in read.items():
        for column in columns:
            if column == time or not isinstance(schema[column], pl.Datetime):
                continue
            seen = _look_at(context, spine, column)
            if seen is None or seen.later < spec.early or seen.missing < spec.early or seen.is_planned:
                continue
            yield Finding(
                "later_moment",
                feature,
                seen.later,
                spec.early,
                f"reads {column}, which lies after the prediction time in {seen.later:.0%} of the rows and is missing "
                f"in {seen.missing:.0%}: it is filled in when something happens, so rows to predict lack it",
                f"read it from a view over the table of these events, with known_at: {column}, {TRUST}",
            )


def _look_at(context: ModelContext, spine: pl.LazyFrame, column: str) -> _Moment | None:
    schema, label, time = spine.collect_schema(), context.spec.label, context.spec.spine.time
    at, now, known = (moment_in_utc(name, schema) for name in (column, time, label.known_at))
    is_open = pl.col(label.column).is_null()
    row = (
        spine.select(
            later=(at > now).fill_null(False).mean(),
            missing=at.filter(~is_open).is_null().mean(),
            filled_without_outcome=at.filter(is_open).is_not_null().mean().fill_null(0.0),
            open_rows=is_open.sum(),
            newest=at.max(),
            newest_known=pl.max_horizontal(now.max(), known.max()),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    return None if None in row.values() else _Moment(**row)
