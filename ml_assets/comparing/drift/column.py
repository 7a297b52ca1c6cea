"""What a comparison says of one column."""

from dataclasses import dataclass

from ml_assets.comparing.drift.shape import DistributionShape


@dataclass(frozen=True)
class Side:
    """One side's values.

    Attributes:
        rows, missing: of all rows.
        distinct: different categories; None of numbers.
        mean, deviation: of finite numbers; None of anything else.
        median: of those that are kept.
    """

    rows: int
    missing: int
    distinct: int | None = None
    mean: float | None = None
    median: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class ColumnComparison:
    """How far a column has moved, before limits are looked at.

    Attributes:
        values: method -> value; None where it is undefined.
        chance: how likely such a difference is by chance in this column alone, 0 to 1.
    """

    values: dict[str, float | None]
    chance: float
    shape: DistributionShape
    sides: tuple[Side, Side]


@dataclass(frozen=True)
class Measure:
    """How far a column has moved by one method.

    Attributes:
        method: as declarations of monitoring call it.
        value: None where it is undefined.
        limit: above which the column counts as moved; None where the method decides nothing.
    """

    method: str
    value: float | None
    limit: float | None

    @property
    def beyond(self) -> bool:
        return self.value is not None and self.limit is not None and self.value > self.limit


@dataclass(frozen=True)
class ColumnDrift:
    """A column's drift.

    Attributes:
        kind: of its values, such as "a number".
        measures: by method; the first is the PSI.
        chance: how likely such a difference of any column is in a report without a change, 0 to 1.
        may_be_chance: whether that is more than the rate of false alarms allows.
    """

    name: str
    kind: str
    reference: Side
    current: Side
    measures: tuple[Measure, ...]
    chance: float
    may_be_chance: bool
    shape: DistributionShape

    @property
    def beyond(self) -> bool:
        """Whether any method lies above its limit."""
        return any(measure.beyond for measure in self.measures)

    @property
    def drifted(self) -> bool:
        """Whether it has moved by more than a limit, and by more than chance explains."""
        return self.beyond and not self.may_be_chance

    @property
    def strength(self) -> float:
        """How far it has moved: the greatest multiple of a limit, or the PSI where no method has one."""
        multiples = [m.value / m.limit for m in self.measures if m.value is not None and m.limit is not None]
        return max(multiples, default=self.measures[0].value or 0.0)

    def value(self, method: str) -> float | None:
        """Return the value of a method; None where it has none."""
        return next((measure.value for measure in self.measures if measure.method == method), None)


@dataclass(frozen=True)
class LeftOut:
    """A column that is not compared by its distribution, and why."""

    name: str
    kind: str
    reason: str
