"""A bounded number of rows chosen at random out of rows that come in parts."""

import numpy as np
import polars as pl


class KeptRows:
    """Keeps all rows as long as they are few, else so many of them that each row is as likely to be among them.

    Args:
        most: rows to keep.
        seed: of the choice.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._random = most, np.random.default_rng(seed)
        self._parts: list[pl.DataFrame] = []
        self._tickets: list[np.ndarray] = []
        self._held = self.seen = 0

    @property
    def complete(self) -> bool:
        """Whether all rows that were added are kept."""
        return self.seen <= self._most

    def add(self, part: pl.DataFrame) -> None:
        """Add rows, all with the same columns."""
        self.seen += part.height
        self._held += part.height
        self._parts.append(part)
        self._tickets.append(self._random.random(part.height))
        if self._held > 2 * self._most:
            self._choose()

    def frame(self) -> pl.DataFrame:
        """Return the rows that are kept, in the order in which they came."""
        if not self._parts:
            return pl.DataFrame()
        self._choose()
        return self._parts[0]

    def _choose(self) -> None:
        rows, tickets = pl.concat(self._parts), np.concatenate(self._tickets)
        if rows.height > self._most:
            chosen = tickets <= np.partition(tickets, self._most - 1)[self._most - 1]
            rows, tickets = rows.filter(chosen), tickets[chosen]
        self._parts, self._tickets, self._held = [rows], [tickets], rows.height
