"""The profile of a column of text."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from ml_assets.profiles.distinct import BITS, estimated_number, relative_error
from ml_assets.profiles.encoding import Reader, Writer
from ml_assets.profiles.grid import TextGrid

MOST_OTHERS = 64
"""Categories outside the grid that are counted one by one; of more, those with the smallest hashes."""
MOST_NAMED = 16
"""Of these, those whose name is kept, those with the smallest hashes again."""
NAME_BYTES = 24
"""Of a name that are kept."""


@dataclass(frozen=True, eq=False)
class Others:
    """Categories outside the grid, by their hashes: a sample of them, whole where they are few.

    A category whose hash is among the smallest of all rows is so among those of any part of the rows that it is in,
    so counts are exact, and what is merged is what all rows at once give.

    Attributes:
        rows: of all these categories together.
        hashes: ascending, 48 bits, at most ``MOST_OTHERS``.
        counts: rows of each, int64.
        names: of the first ``MOST_NAMED``, cut to ``NAME_BYTES``; see ``named``.
    """

    rows: int
    hashes: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def none(cls) -> "Others":
        """Return that of no rows."""
        return cls(0, np.empty(0, np.uint64), np.empty(0, np.int64), ())

    @classmethod
    def of(cls, column: pl.Series) -> "Others":
        """Count text outside the grid, without nulls."""
        counts = column.alias("value").value_counts(name="rows")
        hashed = _hash_texts(counts["value"])
        order = np.argsort(hashed)[:MOST_OTHERS]
        names = counts["value"].gather(order[:MOST_NAMED]).to_list()
        rows = counts["rows"].cast(pl.Int64).to_numpy()
        return cls(len(column), hashed[order], rows[order], tuple(map(_short, names)))

    @property
    def exact(self) -> bool:
        """Whether every row is in ``counts``."""
        return self.rows == self.counts.sum()

    def named(self, taken: Iterable[str]) -> dict[str, int]:
        """Return rows by name, of those whose name is kept: a name that was cut ends with "…", and with its hash too
        where that is the name of another.

        Args:
            taken: names of other categories.
        """
        kept = list(zip(self.names, self.hashes.tolist(), self.counts.tolist(), strict=False))
        whole = _hash_texts(pl.Series(self.names, dtype=pl.String)).tolist()
        named = {name: rows for (name, hashed, rows), own in zip(kept, whole, strict=True) if own == hashed}
        names = {*taken, *named}
        for (name, hashed, rows), own in zip(kept, whole, strict=True):
            if own == hashed:
                continue
            shown = f"{name}…" if f"{name}…" not in names else f"{name}… {hashed:012x}"
            names.add(shown)
            named[shown] = rows
        return named

    @property
    def number(self) -> float:
        """How many categories these are: counted where they are few, else estimated."""
        return float(len(self.hashes)) if self.exact else estimated_number(self.hashes, MOST_OTHERS)

    def merge(self, other: "Others") -> "Others":
        """Return that of both sets of rows together."""
        hashes, place = np.unique(np.append(self.hashes, other.hashes), return_inverse=True)
        counts = np.zeros(len(hashes), np.int64)
        np.add.at(counts, place, np.append(self.counts, other.counts))
        names = dict(zip(other.hashes, other.names, strict=False)) | dict(zip(self.hashes, self.names, strict=False))
        return Others(
            self.rows + other.rows,
            hashes[:MOST_OTHERS],
            counts[:MOST_OTHERS],
            tuple(names[each] for each in hashes[:MOST_NAMED]),
        )


@dataclass(frozen=True, eq=False)
class TextProfile:
    """What the categories of some rows were like.

    Attributes:
        grid: digest of the column's grid.
        rows: all of them.
        missing: rows whose value is null.
        counts: rows by category of the grid, int64 of shape (categories,).
        others: categories outside the grid; of a private column only how many rows they have.
        private: whether nothing tells the names of categories.
    """

    kind: ClassVar[str] = "text"

    grid: bytes
    rows: int
    missing: int
    counts: np.ndarray
    others: Others
    private: bool

    @classmethod
    def of(cls, column: pl.Series, grid: TextGrid) -> "TextProfile":
        """Count the rows of a column."""
        texts = column.cast(pl.String)
        codes = texts.cast(grid.type, strict=False).to_physical()
        missing = texts.null_count()
        outside = codes.null_count() - missing
        counts = np.bincount(codes.drop_nulls().to_numpy(), minlength=len(grid.categories)).astype(np.int64)
        others = Others.none()
        if outside and grid.private:
            others = Others(outside, *_nothing())
        elif outside:
            others = Others.of(texts.filter(codes.is_null() & texts.is_not_null()))
        return cls(grid.digest, len(column), missing, counts, others, grid.private)

    @property
    def present(self) -> int:
        """Rows that have a value."""
        return self.rows - self.missing

    @property
    def distinct(self) -> float | None:
        """How many different categories there are; None of a private column with some outside its grid."""
        if self.private and self.others.rows:
            return None
        return float(np.count_nonzero(self.counts)) + self.others.number

    @property
    def distinct_error(self) -> float:
        """Standard error of ``distinct``; 0 where it is exact."""
        others = self.others
        return 0.0 if others.exact else others.number * relative_error(others.hashes, MOST_OTHERS)

    def frequent(self, grid: TextGrid, most: int = 10) -> dict[str, int]:
        """Return rows of the most frequent categories whose names are known, the greatest first; none of a private
        column."""
        if self.private:
            return {}
        known = dict(zip(grid.categories, self.counts.tolist(), strict=True))
        named = known | self.others.named(known)
        ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        return {name: rows for name, rows in ranked[:most] if rows}

    def merge(self, other: "TextProfile") -> "TextProfile":
        """Return the profile of both sets of rows together."""
        return TextProfile(
            self.grid,
            self.rows + other.rows,
            self.missing + other.missing,
            self.counts + other.counts,
            self.others.merge(other.others),
            self.private,
        )

    def write(self, to: Writer) -> None:
        """Write all of it."""
        to.raw(self.grid)
        to.raw(bytes([self.private, len(self.others.names)]))
        to.counts(np.array([self.rows, self.missing, self.others.rows]))
        for counts in (self.counts, self.others.hashes, self.others.counts):
            to.counts(counts)
        for name in self.others.names:
            to.text(name)

    @classmethod
    def read(cls, of: Reader) -> "TextProfile":
        """Read what ``write`` has written."""
        grid, (private, named) = of.raw(8), of.raw(2)
        rows, missing, outside = of.counts().tolist()
        counts, hashes, by_hash = (of.counts() for _ in range(3))
        names = tuple(of.text() for _ in range(named))
        return cls(
            grid, rows, missing, counts, Others(outside, hashes.astype(np.uint64), by_hash, names), bool(private)
        )


def _nothing() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    return np.empty(0, np.uint64), np.empty(0, np.int64), ()


def _hash_texts(texts: pl.Series) -> np.ndarray:
    """Hash each of different texts, 48 bits of BLAKE2b, which outlives processes and versions of libraries."""
    size = BITS // 8
    hashed = b"".join(hashlib.blake2b(text.encode(), digest_size=size).digest() for text in texts)
    words = np.zeros((len(texts), 8), np.uint8)
    words[:, :size] = np.frombuffer(hashed, np.uint8).reshape(-1, size)
    return words.view("<u8").ravel().astype(np.uint64)


def _short(name: str) -> str:
    return name.encode()[:NAME_BYTES].decode(errors="ignore")
