"""Profiles of several columns: made of rows, merged, and as bytes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import polars as pl

from ml_assets.profiles.columns import kind_of
from ml_assets.profiles.encoding import Reader, Writer
from ml_assets.profiles.grid import Grid, NumberGrid, TextGrid
from ml_assets.profiles.numbers import NumberProfile
from ml_assets.profiles.texts import TextProfile

ColumnProfile = NumberProfile | TextProfile

MOST_BYTES = 4096
"""Bytes of one column's profile that are never passed."""
_VERSION = 1
_KINDS: list[type[ColumnProfile]] = [NumberProfile, TextProfile]
_BATCH = 1 << 20
"""Rows that are sorted at once."""


@dataclass(frozen=True)
class Profile:
    """What some rows were like, column by column."""

    columns: Mapping[str, ColumnProfile]

    def merge(self, other: "Profile") -> "Profile":
        """Return the profile of both sets of rows together.

        Raises:
            ValueError: they have other columns, or a column was counted on another grid.
        """
        if other.columns.keys() != self.columns.keys():
            apart = sorted(self.columns.keys() ^ other.columns.keys())
            raise ValueError(f"profiles of other columns do not merge: only one of them has {', '.join(apart)}")
        return Profile({name: merge_columns(name, one, other.columns[name]) for name, one in self.columns.items()})

    def to_bytes(self) -> bytes:
        """Return all columns as bytes, each within ``MOST_BYTES`` beside its name."""
        to = Writer()
        to.short(len(self.columns))
        for name, column in self.columns.items():
            content = column_to_bytes(column)
            to.text(name)
            to.short(len(content))
            to.raw(content)
        return to.to_bytes()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Profile":
        """Return what ``to_bytes`` has written.

        Raises:
            ValueError: the bytes are none, or of a later version.
        """
        of = Reader(content)
        return cls({of.text(): column_from_bytes(of.raw(of.short())) for _ in range(of.short())})


def profile(rows: pl.DataFrame | pl.LazyFrame | Iterable[pl.DataFrame], grid: Grid) -> Profile:
    """Count rows on a grid, batch by batch: memory is that of a batch.

    Args:
        rows: a frame, a lazy frame (read as a stream), or frames one after another; further columns are left out.

    Raises:
        ValueError: a column of the grid is missing.
        TypeError: a column is of another kind than in the grid's reference.
    """
    empty = pl.DataFrame(schema=dict.fromkeys(grid.columns, pl.Null))
    parts = (_of_batch(batch, grid) for batch in _batches(rows, list(grid.columns)))
    return reduce(Profile.merge, parts, _of_batch(empty, grid))


def merge_columns(name: str, one: ColumnProfile, other: ColumnProfile) -> ColumnProfile:
    """Return the profile of a column over both sets of rows.

    Raises:
        ValueError: they were counted on different grids.
    """
    if one.grid != other.grid:
        raise ValueError(
            f"profiles of column {name!r} were counted on different grids ({one.grid.hex()} and {other.grid.hex()}), "
            "which merge only where they come from one reference: profile the rows again on one of them"
        )
    if isinstance(one, NumberProfile) and isinstance(other, NumberProfile):
        return one.merge(other)
    if isinstance(one, TextProfile) and isinstance(other, TextProfile):
        return one.merge(other)
    raise ValueError(f"column {name!r} is {one.kind} in one profile and {other.kind} in the other")


def column_to_bytes(column: ColumnProfile) -> bytes:
    """Return a column's profile as at most ``MOST_BYTES``."""
    to = Writer()
    column.write(to)
    return bytes([_VERSION, _KINDS.index(type(column))]) + to.to_bytes()


def column_from_bytes(content: bytes) -> ColumnProfile:
    """Return what ``column_to_bytes`` has written.

    Raises:
        ValueError: the bytes are none, or of a later version.
    """
    if len(content) < 3 or content[1] >= len(_KINDS):
        raise ValueError("these bytes are no profile of a column")
    if content[0] != _VERSION:
        raise ValueError(f"a profile of version {content[0]} is read by a later version of ml_assets only")
    return _KINDS[content[1]].read(Reader(content[2:]))


def _batches(rows: pl.DataFrame | pl.LazyFrame | Iterable[pl.DataFrame], columns: list[str]) -> Iterator[pl.DataFrame]:
    if isinstance(rows, pl.LazyFrame):
        rows = rows.select(columns).collect_batches(chunk_size=_BATCH, maintain_order=False)
    for frame in [rows] if isinstance(rows, pl.DataFrame) else rows:
        yield from frame.iter_slices(_BATCH)


def _of_batch(frame: pl.DataFrame, grid: Grid) -> Profile:
    if missing := [name for name in grid.columns if name not in frame.columns]:
        raise ValueError(f"no column {', '.join(missing)} to profile; there are {', '.join(frame.columns)}")
    return Profile({name: _of_column(frame[name], of) for name, of in grid.columns.items()})


def _of_column(column: pl.Series, grid: NumberGrid | TextGrid) -> ColumnProfile:
    kind = kind_of(column.name, column.dtype)
    if isinstance(grid, NumberGrid) and kind == "number":
        return NumberProfile.of(column, grid)
    if isinstance(grid, TextGrid) and (kind == "text" or column.dtype == pl.Null):
        return TextProfile.of(column, grid)
    before = "text" if isinstance(grid, TextGrid) else "a number"
    raise TypeError(f"column {column.name!r} is {column.dtype}, and was {before} in the grid's reference: cast it")
