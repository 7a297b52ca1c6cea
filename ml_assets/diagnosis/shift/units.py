"""A unit that has changed: the values of a column now are those of before, sent through a known map."""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

POINTS = 199
"""Quantiles that are compared."""
LEAST_VALUES = 100
"""Values that a column must have in either period."""
LEAST_DISTINCT = 20
"""Different quantiles below which any map fits."""
LEAST_FIT = 0.98
"""Share of the spread between quantiles that a straight line must explain (R squared)."""
MOST_LEFT = 0.08
"""Share of the distance between the periods that a known map may leave once it is undone."""
MOST_OFF = 0.1
"""By how much the slope of that line may differ from the map's, as a share of it."""


@dataclass(frozen=True)
class KnownMap:
    """A change of units: ``new = slope * old + offset``."""

    name: str
    slope: float
    offset: float = 0.0


def _both_ways(name: str, back: str, slope: float, offset: float = 0.0) -> list[KnownMap]:
    return [KnownMap(f"{name} to {back}", slope, offset), KnownMap(f"{back} to {name}", 1 / slope, -offset / slope)]


KNOWN_MAPS = (
    *_both_ways("°C", "°F", 1.8, 32.0),
    *_both_ways("°C", "K", 1.0, 273.15),
    *_both_ways("°F", "K", 5 / 9, 273.15 - 32 * 5 / 9),
    *_both_ways("metres", "feet", 1 / 0.3048),
    *_both_ways("miles", "kilometres", 1.609344),
    *_both_ways("kilometres per hour", "metres per second", 1 / 3.6),
    *_both_ways("knots", "kilometres per hour", 1.852),
    *_both_ways("inches", "centimetres", 2.54),
    *_both_ways("inches", "millimetres", 25.4),
    *_both_ways("kilograms", "pounds", 1 / 0.45359237),
    *_both_ways("a unit", "hundredths of it (euros to cents, shares to per cent)", 100.0),
    *_both_ways("a unit", "thousandths of it", 1_000.0),
    *_both_ways("a unit", "millionths of it", 1_000_000.0),
    *_both_ways("minutes or hours", "seconds or minutes", 60.0),
    *_both_ways("hours", "seconds", 3_600.0),
    *_both_ways("days", "hours", 24.0),
    *_both_ways("days", "seconds", 86_400.0),
    *_both_ways("weeks", "days", 7.0),
)
"""Changes of units that are recognised, both ways."""


class UnitChange(BaseModel):
    """A column whose values now are those of before in another unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="The change in words, such as °C to °F.")
    slope: float = Field(description="Of the map, new = slope * old + offset.")
    offset: float = Field(description="Of the map.")
    fitted_slope: float = Field(description="Slope of the line through the quantiles of both periods.")
    fitted_offset: float = Field(description="Offset of that line.")
    fit: float = Field(description="Share of the spread of the quantiles that the line explains (R squared), 0 to 1.")
    left: float = Field(description="Share of the distance between both periods that is left once the map is undone.")

    def undo(self, values: np.ndarray) -> np.ndarray:
        """Return values in the unit of before."""
        return (values - self.offset) / self.slope


def recognise_unit(before: np.ndarray, now: np.ndarray) -> UnitChange | None:
    """Return the change of units that the values of a column have gone through, if they have.

    Quantiles of both periods are held against each other (M. Wilk, R. Gnanadesikan, Probability Plotting Methods for
    the Analysis of Data, Biometrika 55, 1968): values that were sent through ``a * x + b`` lie on a line. Any shift of
    a normal distribution does too, so that only known maps count, and only where undoing one brings the periods
    together.

    Args:
        before: values of the reference, without missing ones.
        now: later values.
    """
    if min(len(before), len(now)) < LEAST_VALUES:
        return None
    at = np.arange(1, POINTS + 1) / (POINTS + 1)
    old, new = np.quantile(before, at), np.quantile(now, at)
    apart = float(np.sqrt(np.mean((new - old) ** 2)))
    if len(np.unique(old)) < LEAST_DISTINCT or len(np.unique(new)) < LEAST_DISTINCT or apart == 0:
        return None
    slope, offset, fit = _line(old, new)
    if fit < LEAST_FIT:
        return None
    spread = float(np.std(old))
    closest = min(KNOWN_MAPS, key=lambda known: _left(old, new, known))
    left = _left(old, new, closest)
    scale = float(np.sqrt(np.mean((old - closest.slope * old - closest.offset) ** 2))) / closest.slope
    # As far as the unit moves the values, in the old unit: another change that small is no change of units.
    share = left / max(scale, 1e-300)
    is_near = abs(slope / closest.slope - 1) <= MOST_OFF
    if not is_near or share > MOST_LEFT or left > spread / 2 or not _nearer(old, new, left, spread):
        return None
    return UnitChange(
        name=closest.name,
        slope=closest.slope,
        offset=closest.offset,
        fitted_slope=slope,
        fitted_offset=offset,
        fit=fit,
        left=share,
    )


def _line(old: np.ndarray, new: np.ndarray) -> tuple[float, float, float]:
    """Return slope and offset of the least-squares line, and the share of the spread that it explains."""
    slope, offset = np.polyfit(old, new, 1)
    rest = new - slope * old - offset
    return float(slope), float(offset), float(1 - np.mean(rest**2) / np.var(new))


def _left(old: np.ndarray, new: np.ndarray, known: KnownMap) -> float:
    """Return how far the periods are apart once a map is undone, in the old unit."""
    return float(np.sqrt(np.mean(((new - known.offset) / known.slope - old) ** 2)))


def _nearer(old: np.ndarray, new: np.ndarray, left: float, spread: float) -> bool:
    """Return whether the values are closer with the map undone than as they are, by half a standard deviation."""
    return float(np.sqrt(np.mean((new - old) ** 2))) - left > spread / 2
