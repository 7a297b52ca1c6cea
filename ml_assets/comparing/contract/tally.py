"""How many rows break each rule, counted part by part."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

from ml_assets.comparing.contract.rules import ColumnRule
from ml_assets.comparing.rows.values import Values, examples, shortened

_EXACT = 2.0**53
"""Up to which whole numbers are floats one by one: larger ones look alike that are not."""

EXAMPLES = 5
"""Values that are shown of those that break a rule."""


@dataclass
class Tally:
    """Rows that break one rule.

    Attributes:
        count: their number.
        values: their values, and how often they come up.
    """

    rule: ColumnRule
    count: int = 0
    values: Counter[str] = field(default_factory=Counter)

    def add(self, values: Values) -> None:
        """Count those among some more rows."""
        breaks = self.rule.breaks(values)
        if count := int(breaks.sum()):
            self.count += count
            self.values.update(examples(values.given.filter(breaks)))

    @property
    def shown(self) -> tuple[tuple[str, int], ...]:
        """The most frequent values and how often they come up."""
        ordered = sorted(self.values.items(), key=lambda item: (-item[1], item[0]))
        return tuple((shortened(text), count) for text, count in ordered[:EXAMPLES])


class Tallies:
    """Counts breaches of many rules."""

    def __init__(self, rules: Iterable[ColumnRule]) -> None:
        self._tallies: dict[str, list[Tally]] = {}
        for rule in rules:
            self._tallies.setdefault(rule.column, []).append(Tally(rule))

    def begin(self) -> Callable[[Sequence[Values]], None]:
        """Begin anew, and return what looks at some rows."""
        for tally in self._all:
            tally.count, tally.values = 0, Counter()
        return self.watch

    def watch(self, columns: Sequence[Values]) -> None:
        """Look at some more rows."""
        for values in columns:
            for tally in self._tallies.get(values.name, []):
                tally.add(values)

    @property
    def broken(self) -> list[Tally]:
        """The tallies of rules that any row breaks."""
        return [tally for tally in self._all if tally.count]

    @property
    def _all(self) -> list[Tally]:
        return [tally for tallies in self._tallies.values() for tally in tallies]


def repeated(keys: pl.Series) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Return how many rows repeat the value of an earlier one, and the values that come up most."""
    known = keys.drop_nulls().alias("key")
    if known.dtype.is_float():
        known = known.filter(known.abs() <= _EXACT)
    counted = known.value_counts(name="rows").filter(pl.col("rows") > 1).sort("rows", "key", descending=[True, False])
    if known.dtype.is_float():
        counted = counted.with_columns(pl.col("key").cast(pl.Int64, strict=False))
    shown = counted.head(EXAMPLES).with_columns(pl.col("key").cast(pl.String))
    return int((counted["rows"] - 1).sum()), tuple((shortened(text), count) for text, count in shown.iter_rows())
