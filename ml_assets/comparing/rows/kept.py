"""A bounded number of rows chosen at random out of rows that come in parts."""

import numpy as np
import polars as pl

_TICKET = "\0ticket"


class KeptRows:
    """Keeps all rows as long as they are few, else so many of them that each row is as likely to be among them.

    Args:
        most: rows to keep.
        seed: of the choice.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._random = most, np.random.default_rng(seed)
        self._parts: list[pl.DataFrame] = []
        self._held = self.seen = 0

    @property
    def complete(self) -> bool:
        """Whether all rows that were added are kept."""
        return self.seen <= self._most

    def add(self, part: pl.DataFrame) -> None:
        """Add rows, all with the same columns."""
        self.seen += part.height
        self._held += part.height
        self._parts.append(part.with_columns(pl.Series(_TICKET, self._random.random(part.height))))
        if self._held > 2 * self._most:
            self._parts = [self._chosen()]
            self._held = self._parts[0].height

    def frame(self) -> pl.DataFrame:
        """Return the rows that are kept, in the order in which they came."""
        return self._chosen().drop(_TICKET)

    def _chosen(self) -> pl.DataFrame:
        rows = pl.concat(self._parts) if self._parts else pl.DataFrame({_TICKET: []}, schema={_TICKET: pl.Float64})
        if rows.height <= self._most:
            return rows
        limit = rows[_TICKET].sort()[self._most - 1]
        return rows.filter(pl.col(_TICKET) <= limit)
