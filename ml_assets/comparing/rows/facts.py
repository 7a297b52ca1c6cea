"""What is known of a column after all its rows have been looked at, some at a time."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ml_assets.comparing.rows.kinds import EMPTY, ValueKind
from ml_assets.comparing.rows.values import Values, examples

MOST_VALUES = 10_000
"""Different texts of a column that are counted; of one with more only their number of rows is known."""


@dataclass
class ColumnFacts:
    """Exact counts over all rows of a column.

    Attributes:
        kind: what the values should be.
        stored: types in which they are delivered.
        rows, missing, misfits: rows; those without a value; those with a value that is not of the kind.
        unfit: such values, and how often they come up.
        infinite, fractional: numbers that are infinite; that are not whole.
        smallest, largest: of finite numbers (float) or moments (datetime); None where there is none.
        counts: rows by text, or by truth; None where there are more than `MOST_VALUES` texts.
    """

    name: str
    kind: ValueKind
    stored: set[str] = field(default_factory=set)
    rows: int = 0
    missing: int = 0
    misfits: int = 0
    unfit: Counter[str] = field(default_factory=Counter)
    infinite: int = 0
    fractional: int = 0
    smallest: Any = None
    largest: Any = None
    counts: Counter[str] | None = field(default_factory=Counter)

    @property
    def known(self) -> int:
        """Rows with a value of the kind."""
        return self.rows - self.missing - self.misfits

    @property
    def only_value(self) -> str | None:
        """The one value that all rows with a value have; None where there are several, or none."""
        if self.kind.categorical:
            return next(iter(self.counts)) if self.counts is not None and len(self.counts) == 1 else None
        if self.smallest is None or self.smallest != self.largest or self.infinite:
            return None
        return f"{self.smallest:g}" if isinstance(self.smallest, float) else str(self.smallest)

    def add(self, values: Values) -> None:
        """Count some more rows."""
        self.stored.add(str(values.given.dtype))
        self.rows += len(values.read)
        self.missing += int(values.missing.sum())
        if misfits := int(values.misfit.sum()):
            self.misfits += misfits
            self.unfit.update(examples(values.given.filter(values.misfit)))
        known = values.read.drop_nulls()
        if self.kind.categorical or self.kind is EMPTY:
            self._count(known.cast(pl.String))
        elif len(known) and known.dtype != pl.Boolean:
            self._bound(known)

    def _count(self, texts: pl.Series) -> None:
        if self.counts is None:
            return
        counted = texts.alias("text").value_counts()
        self.counts.update(dict(counted.iter_rows()) if counted.height <= MOST_VALUES else {})
        if max(counted.height, len(self.counts)) > MOST_VALUES:
            self.counts = None

    def _bound(self, known: pl.Series) -> None:
        if known.dtype.is_float():
            infinite = known.is_infinite()
            if count := int(infinite.sum()):
                self.infinite += count
                known = known.filter(~infinite)
            self.fractional += int((known != known.floor()).sum())
        if len(known):
            bounds = [value for value in (known.min(), known.max(), self.smallest, self.largest) if value is not None]
            self.smallest, self.largest = min(bounds), max(bounds)
