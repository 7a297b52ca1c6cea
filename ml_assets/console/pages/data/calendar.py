"""Drops on a calendar: rows are months, or what suits the grain, and columns are what lies in one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_assets.console.pages.data.drops import DropState
from ml_assets.sources.drops import grains
from ml_assets.sources.drops.grains import WHOLE

MOST_LINES = 62
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Line:
    """One row of a calendar.

    Attributes:
        cells: a drop for each column, None where none is expected or delivered.
    """

    label: str
    cells: tuple[DropState | None, ...]


@dataclass(frozen=True)
class Calendar:
    """Drops by two parts of their time, the newest line first.

    Attributes:
        unit: what a line is.
        hidden: lines that are older than those shown.
    """

    unit: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    hidden: int

    @property
    def roomy(self) -> bool:
        """Whether a cell has room for a number beside its symbol."""
        return len(self.columns) <= len(_MONTHS)


def calendar_of(grain: str, drops: Sequence[DropState], most: int = MOST_LINES) -> Calendar:
    """Lay drops out on the calendar of their grain."""
    unit, columns = _LAYOUT[grain]
    placed: dict[str, dict[int, DropState]] = {}
    for drop in drops:
        line, column = _place(grain, drop.drop)
        placed.setdefault(line, {})[column] = drop
    labels = sorted(placed, reverse=True)
    lines = [Line(label, tuple(_cells(placed[label], len(columns)))) for label in labels[:most]]
    return Calendar(unit, columns, tuple(lines), len(labels) - len(lines))


_LAYOUT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "hourly": ("day", tuple(f"{hour:02}" for hour in range(24))),
    "daily": ("month", tuple(str(day) for day in range(1, 32))),
    "weekly": ("year", tuple(str(week) for week in range(1, 54))),
    "monthly": ("year", _MONTHS),
    "quarterly": ("year", ("Q1", "Q2", "Q3", "Q4")),
    "yearly": ("decade", tuple(str(year) for year in range(10))),
    WHOLE: ("source", (WHOLE,)),
}


def _place(grain: str, drop: str) -> tuple[str, int]:
    """Return a drop's line, and its column from 0."""
    if grain == WHOLE:
        return WHOLE, 0
    return _PLACES[grain](grains.drop_start(grain, drop))


def _week(start: datetime) -> tuple[str, int]:
    year, week, _ = start.isocalendar()
    return str(year), week - 1


_PLACES = {
    "hourly": lambda at: (f"{at:%Y-%m-%d}", at.hour),
    "daily": lambda at: (f"{at:%Y-%m}", at.day - 1),
    "weekly": _week,
    "monthly": lambda at: (f"{at:%Y}", at.month - 1),
    "quarterly": lambda at: (f"{at:%Y}", (at.month - 1) // 3),
    "yearly": lambda at: (f"{at.year // 10 * 10}s", at.year % 10),
}


def _cells(line: Mapping[int, DropState], width: int) -> list[DropState | None]:
    return [line.get(column) for column in range(width)]
