"""Summaries over windows that end at the prediction time, or a declared offset before it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.engine.latest import order_ties
from ml_assets.features.engine.timeline import Timeline
from ml_assets.features.engine.windows import exact
from ml_assets.features.engine.windows.extremes import range_extremes
from ml_assets.features.engine.windows.observations import Observations, observe, refuse_functions
from ml_assets.features.engine.windows.summarise import Window, summarise
from ml_assets.features.expressions import evaluate
from ml_assets.features.spec import FeatureViewSpec


def window_features(view: FeatureViewSpec, timeline: Timeline) -> pl.DataFrame:
    """Compute the view's aggregate features: one row per moment of the timeline, columns in declared order.

    count is Int64; mean and std are Float64; sum is Int64 for integers and booleans, else Float64; min and
    max keep the expression's type (Int64 for booleans). Sums are exact before one last rounding, so a value
    does not depend on the order of the rows, nor on which rows outside the window were read.

    Raises:
        FeatureError: an expression fails, has a type that cannot be summarised so, is infinite, or overflows
            Int64.
    """
    first = {spec.of: base for base, spec in reversed(view.aggregates.items())}
    texts = {base: "TRUE" if of == ALL_ROWS else of for of, base in first.items()}
    values = evaluate(view.name, timeline.events, texts)
    columns: dict[str, pl.Series] = {}
    for (of, in_order), bases in _alike(view).items():
        columns |= {column.name: column for column in _summaries(view, bases, timeline, values[first[of]], in_order)}
    return pl.DataFrame([columns[name] for name in view.aggregate_features])


def _summaries(
    view: FeatureViewSpec, bases: list[str], timeline: Timeline, values: pl.Series, in_order: bool
) -> Iterator[pl.Series]:
    """Yield the features of aggregates of the same values, which are put in order and summed once for all."""
    for base in bases:
        refuse_functions(_where(view, base), values.dtype, view.aggregates[base].functions)
    order = order_ties(values.to_frame(), timeline.order, timeline.event_keys) if in_order else timeline.order
    observations = observe(_where(view, bases[0]), values.gather(order))
    windows: dict[tuple[str, timedelta], _Window] = {}
    for base in bases:
        spec = view.aggregates[base]
        for length in view.windows_of(base):
            key = length, spec.ends_before
            if key not in windows:
                windows[key] = _window(timeline, observations, parse_duration(length), spec.ends_before)
            for function in spec.functions:
                yield summarise(_where(view, base), function, windows[key]).alias(f"{base}_{function}_{length}")


def _alike(view: FeatureViewSpec) -> Mapping[tuple[str, bool], list[str]]:
    """Group aggregates by the values that they summarise, and whether their place among those of a moment counts."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for base, spec in view.aggregates.items():
        alike.setdefault((spec.of, bool({*spec.functions} & {"first", "last"})), []).append(base)
    return alike


def _where(view: FeatureViewSpec, base: str) -> str:
    return f"feature view {view.name!r}, aggregate {base!r}: `{view.aggregates[base].of}`"


@dataclass(frozen=True)
class _Window(Window):
    """One window at every moment: the observations from `start` up to, not including, `end`."""

    observations: Observations
    start: np.ndarray
    end: np.ndarray

    @cached_property
    def count(self) -> np.ndarray:
        return self.end - self.start

    @cached_property
    def sums(self) -> exact.Limbs:
        return exact.between(self.observations.sums, self.start, self.end)

    @cached_property
    def squares(self) -> exact.Limbs:
        return exact.between(self.observations.squares, self.start, self.end)

    def extremes(self, pick: np.ufunc) -> np.ndarray:
        filled = np.flatnonzero(self.count)
        extremes = np.zeros(self.count.size, self.observations.values.dtype)
        extremes[filled] = range_extremes(self.observations.values, self.start[filled], self.end[filled], pick)
        return extremes

    def at_end(self, *, last: bool) -> pl.Series:
        places = self.end - 1 if last else self.start
        return self.observations.present.gather(pl.Series(places).set(pl.Series(self.count < 1), None))


def _window(timeline: Timeline, observations: Observations, length: timedelta, before: timedelta) -> _Window:
    start, end = timeline.known_before(before + length), timeline.known_before(before)
    return _Window(observations, observations.places(start), observations.places(end))
