"""Summaries over windows that end at the prediction time, or a declared offset before it."""

from collections.abc import Callable, Sequence
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
from ml_assets.features.errors import FeatureError
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
                columns.append(_summarise(where, function, window).alias(f"{base}_{function}_{name}"))
    return pl.DataFrame(columns)


def _order(
    timeline: Timeline, values: pl.Series, functions: Sequence[AggregateFunction | PositionFunction]
) -> pl.Series:
    """Return the rows by entity and moment; where their place counts, values of one moment from the smallest."""
    if not {*functions} & {"first", "last"}:
        return timeline.order
    return order_ties(values.to_frame(), timeline.order, timeline.event_keys)


@dataclass(frozen=True)
class _Window:
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


def _window(timeline: Timeline, observations: Observations, length: timedelta, before: timedelta) -> _Window:
    start, end = timeline.known_before(before + length), timeline.known_before(before)
    return _Window(observations, observations.places(start), observations.places(end))


def _summarise(where: str, function: AggregateFunction | PositionFunction, window: _Window) -> pl.Series:
    try:
        values = _SUMMARIES[function](window)
    except OverflowError as error:
        raise FeatureError(f"{where}: {error}; cast it to DOUBLE") from error
    if function in ("first", "last"):
        return values
    needed = {"count": 0, "std": 2}.get(function, 1)
    return values.set(pl.Series(window.count < needed), None)


def _count(window: _Window) -> pl.Series:
    return pl.Series(window.count)


def _sum(window: _Window) -> pl.Series:
    if window.observations.values.dtype == np.int64:
        return pl.Series(exact.to_int(window.sums, window.count.size))
    mantissa, scale = exact.to_float(window.sums, window.count.size)
    return pl.Series(np.ldexp(mantissa, exact.BITS * scale))


def _mean(window: _Window) -> pl.Series:
    mantissa, scale = exact.to_float(window.sums, window.count.size)
    return pl.Series(np.ldexp(mantissa / np.maximum(window.count, 1), exact.BITS * scale))


def _std(window: _Window) -> pl.Series:
    # (n * sum of squares - square of sum) / (n (n - 1)): loses every digit in floats, and none here.
    squares = exact.between(window.observations.squares, window.start, window.end)
    spread = exact.scaled_difference(squares, window.count, exact.square(window.sums))
    mantissa, scale = exact.to_float(spread, window.count.size)
    count = np.maximum(window.count, 2).astype(np.float64)
    return pl.Series(np.ldexp(np.sqrt(mantissa / (count * (count - 1))), exact.BITS * scale // 2))


def _min(window: _Window) -> pl.Series:
    return _extreme(window, np.minimum)


def _max(window: _Window) -> pl.Series:
    return _extreme(window, np.maximum)


def _extreme(window: _Window, pick: np.ufunc) -> pl.Series:
    filled = np.flatnonzero(window.count)
    extremes = np.zeros(window.count.size, window.observations.values.dtype)
    extremes[filled] = range_extremes(window.observations.values, window.start[filled], window.end[filled], pick)
    return pl.Series(extremes).cast(window.observations.dtype)


def _first(window: _Window) -> pl.Series:
    return _at(window, window.start)


def _last(window: _Window) -> pl.Series:
    return _at(window, window.end - 1)


def _at(window: _Window, places: np.ndarray) -> pl.Series:
    """Return the values at some places, null where the window is empty."""
    there = pl.Series(places).set(pl.Series(window.count < 1), None)
    return window.observations.present.gather(there)


_SUMMARIES: dict[AggregateFunction | PositionFunction, Callable[[_Window], pl.Series]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "std": _std,
    "min": _min,
    "max": _max,
    "first": _first,
    "last": _last,
}
