"""What a comparison of two tables says."""

from dataclasses import dataclass

from ml_assets.comparing.drift.column import ColumnDrift, LeftOut
from ml_assets.comparing.drift.limits import DriftLimits


@dataclass(frozen=True)
class TableSummary:
    """One side.

    Attributes:
        path: as it was given.
        format: how rows are kept.
        files, rows, columns: their numbers.
        kept_rows: rows that bins, medians and drawings are made of: all, or so many chosen at random.
        assumed: sentences about how it was read.
    """

    path: str
    format: str
    files: int
    rows: int
    columns: int
    kept_rows: int
    assumed: tuple[str, ...]


@dataclass(frozen=True)
class RuleBreach:
    """A rule of the reference that current rows break.

    Attributes:
        rule: its name, such as "required".
        words: what has to hold.
        rows: of the current side that break it.
        share: of all its rows, 0 to 1.
        examples: values that break it, and how often they come up.
        chance: for a rule that rows of the same kind break sooner or later, how likely so many are in a report without
            a change, 0 to 1; None for a rule that holds for every row.
        broken: whether that breaks the contract.
    """

    column: str
    rule: str
    words: str
    rows: int
    share: float
    examples: tuple[tuple[str, int], ...]
    chance: float | None
    broken: bool


@dataclass(frozen=True)
class TableComparison:
    """Two tables side by side.

    Attributes:
        missing_columns, new_columns: columns that only the reference has, or only the current rows, each with the kind
            of its values.
        other_types: sentences about columns that are kept in another type, though their values fit.
        breaches: those that break the contract first.
        rules: number of rules that the reference suggests.
        drift: of the columns that have a distribution, those that have drifted first, the strongest of them first.
        left_out: columns without.
        notes: sentences about what the numbers suppose.
    """

    reference: TableSummary
    current: TableSummary
    limits: DriftLimits
    missing_columns: dict[str, str]
    new_columns: dict[str, str]
    other_types: tuple[str, ...]
    rules: int
    breaches: tuple[RuleBreach, ...]
    drift: tuple[ColumnDrift, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Columns that have drifted."""
        return tuple(column.name for column in self.drift if column.drifted)

    @property
    def broken(self) -> tuple[RuleBreach, ...]:
        """Rules that are broken."""
        return tuple(breach for breach in self.breaches if breach.broken)

    @property
    def contract_holds(self) -> bool:
        """Whether no column is missing and no rule is broken."""
        return not (self.missing_columns or self.broken)

    @property
    def passed(self) -> bool:
        """Whether the contract holds and nothing has drifted."""
        return self.contract_holds and not self.drifted

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        parts = [
            _counted(len(self.missing_columns), "column missing", "columns missing"),
            _counted(len(self.broken), "rule broken", "rules broken"),
            _counted(len(self.drifted), "column drifted", "columns drifted"),
        ]
        found = ", ".join(part for part in parts if part)
        return found or f"no drift in {len(self.drift)} columns, and all {self.rules} rules hold"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""
