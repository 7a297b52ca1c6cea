"""What held for every row of the reference, one class for each kind of rule."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from ml_assets.comparing.rows.kinds import ValueKind
from ml_assets.comparing.rows.values import Values, shortened


@dataclass(frozen=True)
class ColumnRule(ABC):
    """A rule of one column.

    Attributes:
        column: whose values it is about.
    """

    column: str

    name: ClassVar[str]
    """What reports call it."""
    by_chance: ClassVar[bool] = False
    """Whether more rows of the same kind would break it sooner or later, so that only many breaches count."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What has to hold, in words."""

    @abstractmethod
    def breaks(self, values: Values) -> pl.Series:
        """Return for each row whether it breaks the rule (Boolean without nulls)."""


@dataclass(frozen=True)
class OfKind(ColumnRule):
    """Every value is of the reference's kind."""

    kind: ValueKind
    name: ClassVar[str] = "type"

    @property
    def words(self) -> str:
        return f"each value is {self.kind.name}"

    def breaks(self, values: Values) -> pl.Series:
        return values.misfit


@dataclass(frozen=True)
class Required(ColumnRule):
    """No row is without a value."""

    name: ClassVar[str] = "required"

    @property
    def words(self) -> str:
        return "no value is missing"

    def breaks(self, values: Values) -> pl.Series:
        return values.missing


@dataclass(frozen=True)
class OneOf(ColumnRule):
    """Every text is one of a few."""

    choices: tuple[str, ...]
    name: ClassVar[str] = "choices"

    @property
    def words(self) -> str:
        shown = ", ".join(map(shortened, self.choices[:6]))
        return f"each is one of {shown}{' ...' if len(self.choices) > 6 else ''}"

    def breaks(self, values: Values) -> pl.Series:
        return ~values.read.cast(pl.String).is_in(list(self.choices)) & values.read.is_not_null()


@dataclass(frozen=True)
class Constant(ColumnRule):
    """Every row has the same value."""

    value: str
    bound: float | None
    name: ClassVar[str] = "constant"

    @property
    def words(self) -> str:
        return f"each is {shortened(self.value)}"

    def breaks(self, values: Values) -> pl.Series:
        other = values.read.cast(pl.String) != self.value if self.bound is None else values.read != self.bound
        return other.fill_null(False)


@dataclass(frozen=True)
class Finite(ColumnRule):
    """No number is infinite."""

    name: ClassVar[str] = "finite"

    @property
    def words(self) -> str:
        return "no number is infinite"

    def breaks(self, values: Values) -> pl.Series:
        return values.read.is_infinite().fill_null(False)


@dataclass(frozen=True)
class Whole(ColumnRule):
    """Every number is whole."""

    name: ClassVar[str] = "whole"

    @property
    def words(self) -> str:
        return "each number is whole"

    def breaks(self, values: Values) -> pl.Series:
        return (values.read.is_finite() & (values.read != values.read.floor())).fill_null(False)


@dataclass(frozen=True)
class NotNegative(ColumnRule):
    """No number is below zero."""

    name: ClassVar[str] = "not negative"

    @property
    def words(self) -> str:
        return "no number is below 0"

    def breaks(self, values: Values) -> pl.Series:
        return (values.read < 0).fill_null(False)


@dataclass(frozen=True)
class AtLeast(ColumnRule):
    """No number is smaller than all of the reference; those below `floor` break another rule."""

    bound: float
    floor: float = -math.inf
    name: ClassVar[str] = "smallest"
    by_chance: ClassVar[bool] = True

    @property
    def words(self) -> str:
        return f"no number is below {self.bound:g}, the smallest of the reference"

    def breaks(self, values: Values) -> pl.Series:
        return values.read.is_between(self.floor, self.bound, closed="left").fill_null(False)


@dataclass(frozen=True)
class AtMost(ColumnRule):
    """No number is greater than all of the reference."""

    bound: float
    name: ClassVar[str] = "greatest"
    by_chance: ClassVar[bool] = True

    @property
    def words(self) -> str:
        return f"no number is above {self.bound:g}, the greatest of the reference"

    def breaks(self, values: Values) -> pl.Series:
        return ((values.read > self.bound) & values.read.is_finite()).fill_null(False)
