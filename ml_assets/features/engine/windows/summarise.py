"""The summaries of values that lie in a window, whichever kind of window it is."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import polars as pl

from ml_assets.features.aggregates import AggregateFunction, PositionFunction
from ml_assets.features.engine.windows import exact
from ml_assets.features.engine.windows.observations import Observations
from ml_assets.features.errors import FeatureError


class Window:
    """One window at every moment, and the observations in it: what a kind of window has to tell."""

    observations: Observations

    @cached_property
    def count(self) -> np.ndarray:
        """How many observations are in it; int64."""
        raise NotImplementedError

    @cached_property
    def sums(self) -> exact.Limbs:
        """Their exact sums; normal limbs."""
        raise NotImplementedError

    @cached_property
    def squares(self) -> exact.Limbs:
        """The exact sums of their squares; normal limbs."""
        raise NotImplementedError

    def extremes(self, pick: np.ufunc) -> np.ndarray:
        """Take `pick` (np.minimum or np.maximum) over them; 0 where there is none."""
        raise NotImplementedError

    def at_end(self, *, last: bool) -> pl.Series:
        """Take the first or the last of them, where they have an order; null where there is none."""
        raise NotImplementedError


def summarise(where: str, function: AggregateFunction | PositionFunction, window: Window) -> pl.Series:
    """Summarise what lies in a window: one value per moment, null where there is too little for one.

    Args:
        where: what to call the values in an error.

    Raises:
        FeatureError: a whole number is beyond Int64.
    """
    try:
        values = _SUMMARIES[function](window)
    except OverflowError as error:
        raise FeatureError(f"{where}: {error}; cast it to DOUBLE") from error
    if function in ("first", "last"):
        return values
    needed = {"count": 0, "std": 2}.get(function, 1)
    return values.set(pl.Series(window.count < needed), None)


def _count(window: Window) -> pl.Series:
    return pl.Series(window.count)


def _sum(window: Window) -> pl.Series:
    if window.observations.values.dtype == np.int64:
        return pl.Series(exact.to_int(window.sums, window.count.size))
    mantissa, scale = exact.to_float(window.sums, window.count.size)
    return pl.Series(np.ldexp(mantissa, exact.BITS * scale))


def _mean(window: Window) -> pl.Series:
    mantissa, scale = exact.to_float(window.sums, window.count.size)
    return pl.Series(np.ldexp(mantissa / np.maximum(window.count, 1), exact.BITS * scale))


def _std(window: Window) -> pl.Series:
    # (n * sum of squares - square of sum) / (n (n - 1)): loses every digit in floats, and none here.
    spread = exact.scaled_difference(window.squares, window.count, exact.square(window.sums))
    mantissa, scale = exact.to_float(spread, window.count.size)
    count = np.maximum(window.count, 2).astype(np.float64)
    return pl.Series(np.ldexp(np.sqrt(mantissa / (count * (count - 1))), exact.BITS * scale // 2))


def _min(window: Window) -> pl.Series:
    return _extreme(window, np.minimum)


def _max(window: Window) -> pl.Series:
    return _extreme(window, np.maximum)


def _extreme(window: Window, pick: np.ufunc) -> pl.Series:
    return pl.Series(window.extremes(pick)).cast(window.observations.dtype)


def _first(window: Window) -> pl.Series:
    return window.at_end(last=False)


def _last(window: Window) -> pl.Series:
    return window.at_end(last=True)


_SUMMARIES: dict[AggregateFunction | PositionFunction, Callable[[Window], pl.Series]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "std": _std,
    "min": _min,
    "max": _max,
    "first": _first,
    "last": _last,
}
