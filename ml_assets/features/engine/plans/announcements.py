"""Which announcement about a thing is in force when, and when what it says holds."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.features.declared.plans import PlanSpec
from ml_assets.features.engine.timeline import Timeline
from ml_assets.features.expressions import evaluate
from ml_assets.features.spec import FeatureViewSpec

EVER = np.iinfo(np.int64).max
"""Stands for a moment that never comes."""

_MICROSECOND = timedelta(microseconds=1)
_ENTITY, _KNOWN, _BEGINS, _ENDS, _NEXT = "__entity__", "__known__", "__begins__", "__ends__", "__next__"
_WITHDRAWN = "__withdrawn__"


@dataclass(frozen=True)
class Announcements:
    """What is announced and not taken back, bitemporal: each row says that something holds from `begins` until `ends`,
    and is what was last said of it from `known` until `replaced`. Moments are int64 microseconds, EVER for never.

    Attributes:
        entities: int64, entity codes.
        known: when it was announced.
        replaced: when the next announcement about the same thing was known.
        begins: when it begins to hold.
        ends: when it holds no more.
        values: what it says, row by row.
    """

    entities: np.ndarray
    known: np.ndarray
    replaced: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    values: pl.DataFrame

    def seen(self, lead: timedelta, length: timedelta, *, until: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return from when until when a prediction sees each row: the prediction times t, int64, of [first, end).

        A row is seen if it is in force at t and holds at some time in (t + lead - length, t + lead], where length zero
        stands for the moment t + lead alone. Both are conditions on t alone, so that the times form one range.

        Args:
            until: when each row counts as holding no more: `ends`, or `begins` of what only happens then.
        """
        ahead, back = lead // _MICROSECOND, (lead - length) // _MICROSECOND
        first = np.maximum(self.known, self.begins - ahead)
        end = np.minimum(self.replaced, np.where(until == EVER, EVER, until - back))
        return first, end

    @property
    def in_order(self) -> pl.Series:
        """Row numbers in the order in which the later wins where several hold: UInt32."""
        keys = {_BEGINS: self.begins, _KNOWN: self.known}
        return (
            self.values.with_columns(pl.Series(n, v) for n, v in keys.items())
            .select(pl.arg_sort_by([_BEGINS, _KNOWN, *self.values.columns], nulls_last=False))
            .to_series()
        )


def read_announcements(view: FeatureViewSpec, plan: PlanSpec, timeline: Timeline) -> Announcements:
    """Read a plan's announcements from the table rows of a timeline.

    Of rows about the same thing that became known together the largest in `order_by` is the last, then in valid_at,
    valid_until, whether it is withdrawn, and its values.

    Returns:
        Those that can hold; `values` has the ranks by `order_by` and a column for each name of `plan.values`.

    Raises:
        FeatureError: an expression fails.
    """
    ranks = {f"__rank_{i}__": text for i, text in enumerate(view.order_by)}
    texts = {**ranks, **({_WITHDRAWN: plan.withdrawn} if plan.withdrawn else {}), **plan.values}
    values = evaluate(view.name, timeline.events, texts)
    rows = timeline.events.select(
        pl.col(view.known_at_column).to_physical().alias(_KNOWN),
        pl.col(plan.valid_at).to_physical().alias(_BEGINS),
        (pl.col(plan.valid_until).to_physical() if plan.valid_until else pl.lit(None, pl.Int64)).alias(_ENDS),
        *(pl.col(name).alias(f"__of_one_{i}__") for i, name in enumerate(plan.of_one)),
    )
    rows = pl.concat([rows, values], how="horizontal").insert_column(0, pl.Series(_ENTITY, timeline.event_entities))
    rows = _with_next(rows, [f"__of_one_{i}__" for i in range(len(plan.of_one))], list(ranks), list(plan.values))
    withdrawn = pl.col(_WITHDRAWN).fill_null(False) if plan.withdrawn else pl.lit(False)
    never = pl.col(_ENDS) <= pl.col(_BEGINS)
    kept = rows.filter(pl.col(_BEGINS).is_not_null(), ~withdrawn, ~never.fill_null(False))
    return Announcements(
        entities=kept[_ENTITY].to_numpy(),
        known=kept[_KNOWN].to_numpy(),
        replaced=kept[_NEXT].fill_null(EVER).to_numpy(),
        begins=kept[_BEGINS].to_numpy(),
        ends=kept[_ENDS].fill_null(EVER).to_numpy(),
        values=kept.select(*ranks, *plan.values),
    )


def _with_next(rows: pl.DataFrame, of_one: list[str], ranks: list[str], values: list[str]) -> pl.DataFrame:
    """Add when the next announcement about the same thing was known; null for none."""
    if not of_one:
        return rows.with_columns(pl.lit(None, pl.Int64).alias(_NEXT))
    thing = [_ENTITY, *of_one]
    told = [name for name in (_WITHDRAWN,) if name in rows.columns]
    ordered = rows.drop_nulls(of_one).sort(*thing, _KNOWN, *ranks, _BEGINS, _ENDS, *told, *values, nulls_last=False)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in thing)
    return ordered.with_columns(pl.when(same).then(pl.col(_KNOWN).shift(-1)).alias(_NEXT))
