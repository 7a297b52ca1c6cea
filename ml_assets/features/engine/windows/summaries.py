"""Summaries over windows that end at the prediction time, or a declared offset before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.features.aggregates import ALL_ROWS, AggregateFunction, PositionFunction
from ml_assets.features.engine.latest import order_ties
from ml_assets.features.engine.timeline import Timeline
from ml_assets.features.engine.windows import exact
from ml_assets.features.engine.windows.extremes import range_extremes
from ml_assets.features.engine.windows.observations import Observations, observe
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
    texts = {base: spec.of for base, spec in view.aggregates.items()}
    values = evaluate(view.name, timeline.events, {b: "TRUE" if of == ALL_ROWS else of for b, of in texts.items()})
    columns = []
    for base, spec in view.aggregates.items():
        where = f"feature view {view.name!r}, aggregate {base!r}: `{spec.of}`"
        order = _order(timeline, values[base], spec.functions)
        observations = observe(where, values[base].gather(order), spec.functions)
        windows = {
            w: _window(timeline, observations, parse_duration(w), spec.ends_before) for w in view.windows_of(base)
        }
        for function in spec.functions:
            for name, window in windows.items():
                columns.append(summarise(where, function, window).alias(f"{base}_{function}_{name}"))
    return pl.DataFrame(columns)


def _order(
    timeline: Timeline, values: pl.Series, functions: Sequence[AggregateFunction | PositionFunction]
) -> pl.Series:
    """Return the rows by entity and moment; where their place counts, values of one moment from the smallest."""
    if not {*functions} & {"first", "last"}:
        return timeline.order
    return order_ties(values.to_frame(), timeline.order, timeline.event_keys)


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
