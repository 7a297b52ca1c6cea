"""Features of planned facts of one row, announcement by announcement."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from ml_assets.features.audit.plain_summaries import magnitude, present, summarise_plainly
from ml_assets.features.declared.plans import PlannedFeature, PlanSpec
from ml_assets.features.expressions import parse
from ml_assets.features.spec import FeatureViewSpec

_MICROSECOND = timedelta(microseconds=1)
_Row = Mapping[str, Any]


def plain_plans(
    view: FeatureViewSpec, row: pl.DataFrame, known: pl.DataFrame, moment: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """Compute the planned features of one spine row (a frame of height 1) at `moment` (microseconds).

    Args:
        known: the announcements of its entity that were known by then.

    Returns:
        Feature -> value, and feature -> the size of the numbers that were added up.
    """
    plan = view.planned
    if plan is None:
        return {}, {}
    announced = _read(view, plan, known)
    in_force = [one for one in _last_words(plan, announced) if not one["withdrawn"] and one["begins"] is not None]
    values: dict[str, Any] = {}
    magnitudes: dict[str, float] = {}
    types = {base: known.select(parse(view.name, text)).to_series().dtype for base, text in plan.values.items()}
    for name, feature in plan.features.items():
        end = moment + feature.lead // _MICROSECOND if feature.at is None else row[feature.at].to_physical().item()
        if end is None:
            values[name] = None
            continue
        if feature.function is None:
            held = [one for one in in_force if _holds_at(one, end)]
            last = max(held, key=lambda one: (one["begins"], one["known"], *one["order"]), default=None)
            values[name] = None if last is None else last["values"][feature.base]
            continue
        seen = [one["values"][feature.base] for one in in_force if _holds_in(plan, feature, one, end)]
        there = present(pl.Series(feature.base, seen, types[feature.base]))
        values[name] = summarise_plainly(there, feature.function)
        magnitudes[name] = magnitude(there, feature.function)
    return values, magnitudes


def _read(view: FeatureViewSpec, plan: PlanSpec, known: pl.DataFrame) -> list[dict[str, Any]]:
    def column(text: str) -> list:
        values = known.select(parse(view.name, text).alias("value")).to_series()
        # An expression without columns has one value for all rows.
        return values.to_list() if len(values) == known.height else values.to_list() * known.height

    def ticks(name: str | None) -> list:
        return [None] * known.height if name is None else known[name].to_physical().to_list()

    times = (ticks(view.known_at), ticks(plan.valid_at), ticks(plan.valid_until))
    withdrawn = column(plan.withdrawn) if plan.withdrawn else [None] * known.height
    ranks = [column(text) for text in view.order_by]
    values = {base: column(text) for base, text in plan.values.items()}
    found = []
    for i, (at, begins, ends) in enumerate(zip(*times, strict=True)):
        own, by = {base: column[i] for base, column in values.items()}, [_rank(rank[i]) for rank in ranks]
        told = [_rank(value) for value in own.values()]
        found.append(
            {
                "thing": tuple(known[name][i] for name in plan.of_one) if plan.of_one else (i,),
                "known": at,
                "begins": begins,
                "ends": ends,
                "withdrawn": bool(withdrawn[i]),
                "values": own,
                "order": [*by, *told],
                "rank": [*by, _rank(begins), _rank(ends), _rank(withdrawn[i]), *told],
            }
        )
    return found


def _last_words(plan: PlanSpec, announced: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each thing the last that was announced."""
    last: dict[tuple, dict[str, Any]] = {}
    for one in announced:
        if plan.of_one and None in one["thing"]:
            continue
        before = last.get(one["thing"])
        if before is None or (one["known"], *one["rank"]) >= (before["known"], *before["rank"]):
            last[one["thing"]] = one
    return list(last.values())


def _holds_at(one: _Row, moment: int) -> bool:
    return one["begins"] <= moment and (one["ends"] is None or moment < one["ends"])


def _holds_in(plan: PlanSpec, feature: PlannedFeature, one: _Row, end: int) -> bool:
    """Return whether something holds at some time in (end - length, end]."""
    begin = end - feature.length // _MICROSECOND
    if plan.valid_until is None:
        return begin < one["begins"] <= end
    if one["ends"] is not None and one["ends"] <= one["begins"]:
        return False
    return one["begins"] <= end and (one["ends"] is None or one["ends"] > begin)


def _rank(value: Any) -> tuple:
    """Return a key by which null sorts first and NaN last."""
    if value is None:
        return (0, 0)
    return (2, 0) if isinstance(value, float) and math.isnan(value) else (1, value)
