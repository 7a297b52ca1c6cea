"""One side of a comparison, read once from beginning to end."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import polars as pl

from ml_assets.comparing.errors import UnusableRows
from ml_assets.comparing.rows.facts import ColumnFacts
from ml_assets.comparing.rows.kept import KeptRows
from ml_assets.comparing.rows.kinds import EMPTY, OPAQUE, TEXT, ValueKind
from ml_assets.comparing.rows.place import Place
from ml_assets.comparing.rows.style import MOSTLY, SAMPLED, Inferred, infer_kinds, with_misfits
from ml_assets.comparing.rows.values import Values, read_part
from ml_assets.comparing.rows.writing import Writing
from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.delivery.request import SampledRows

_LOOKS = 4
"""How often a file is read at most to learn the kinds of its columns."""

_EXAMPLES = 200

Watch = Callable[[Sequence[Values]], None]
"""Is given each part of the rows."""


@dataclass(frozen=True)
class Table:
    """What was read of one side.

    Attributes:
        place: where its rows lie.
        rows: their number.
        facts: column -> exact counts over all rows.
        kept: rows in the types of their kinds, all or as many as were to be kept, without nested columns.
        assumed: sentences about how it was read.
        stored: column -> type in which it is delivered, of all columns that there are.
        writing: how its texts are written.
        late: column that its first rows lacked, as those of the first of several files do -> some of its values, as
            delivered.
    """

    place: Place
    rows: int
    facts: dict[str, ColumnFacts]
    kept: pl.DataFrame
    assumed: tuple[str, ...]
    stored: dict[str, str]
    writing: Writing
    late: dict[str, pl.Series]

    @property
    def complete(self) -> bool:
        """Whether all rows are kept."""
        return self.kept.height == self.rows or not self.kept.columns

    def kept_of(self, name: str) -> pl.Series:
        """Return the kept values of a column; nothing of one of nested values."""
        return self.kept[name] if name in self.kept.columns else pl.Series(name, [], pl.Null)

    def frames(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Read columns of all rows once more, part by part, in the types of their kinds."""
        kinds = {name: self.facts[name].kind for name in names}
        for rows in self.place.parts():
            for part in rows.tables:
                yield pl.DataFrame({values.name: values.read for values in read_part(part, kinds, self.writing)})


@dataclass(frozen=True)
class Choice:
    """Which columns are looked at, and how many rows are kept.

    Attributes:
        columns: the only columns to look at; empty for all.
        exclude: columns to leave out.
        most: rows to keep of each side.
        seed: of their choice.
    """

    columns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    most: int = 200_000
    seed: int = 0

    def of(self, names: Collection[str]) -> list[str]:
        """Return those of the names that are looked at."""
        return [name for name in names if name not in self.exclude and (not self.columns or name in self.columns)]


def learn_table(place: Place, choice: Choice) -> tuple[Table, Inferred]:
    """Read the reference, and what kind of values each column has.

    Kinds are inferred from a sample. Where other rows have values that do not fit, these are added to the sample and it
    is inferred and read again.

    Raises:
        UnusableRows: it cannot be read, or has fewer than two rows.
    """
    opening = open_table(place, choice)
    inferred = opening.inferred
    table = read_table(place, inferred.kinds, inferred, choice, parts=opening.parts)
    late: dict[str, pl.Series] = {}
    for _ in range(_LOOKS - 1):
        unfit = {name: values for name, facts in table.facts.items() if (values := _unfit(facts))}
        if not unfit and not table.late:
            break
        misfits = {name: pl.Series(values[:_EXAMPLES], dtype=pl.String) for name, values in unfit.items()}
        late |= table.late
        again = infer_kinds(with_misfits(opening.sample, misfits | late), opening.dialect)
        # Whatever a sample cannot explain is text.
        kinds = {
            name: TEXT if name in unfit and kind is inferred.kinds[name] else kind for name, kind in again.kinds.items()
        }
        inferred = replace(again, kinds=kinds)
        table = read_table(place, kinds, inferred, choice)
    return table, inferred


def _unfit(facts: ColumnFacts) -> list[str]:
    """Return values that the sample did not lead to expect: too many that do not fit, or any in an empty column."""
    if facts.kind is EMPTY:
        return list(facts.counts) if facts.counts is not None else list(facts.unfit) or [""]
    return list(facts.unfit) if facts.misfits > (1 - MOSTLY) * facts.rows else []


def read_like(
    place: Place, kinds: Mapping[str, ValueKind], choice: Choice, watched: Callable[[], Watch]
) -> tuple[Table, Inferred]:
    """Read the current rows as values of the reference's kinds, and what kinds their own columns suggest.

    Args:
        kinds: of the reference's columns.
        watched: begins to look at the rows; called once more where they are read again, as columns came late.

    Raises:
        UnusableRows: it cannot be read, or has fewer than two rows.
    """
    opening = open_table(place, choice)
    table = read_table(place, kinds, opening.inferred, choice, watched(), opening.parts)
    if not table.late:
        return table, opening.inferred
    inferred = infer_kinds(with_misfits(opening.sample, table.late), opening.dialect)
    return read_table(place, kinds, inferred, choice, watched()), inferred


@dataclass(frozen=True)
class Opening:
    """A side, of which the first rows have been read.

    Attributes:
        sample: rows all over the first part, as delivered.
        dialect: of a file of texts.
        inferred: what the sample suggests.
        parts: all parts, to be read once.
    """

    sample: pl.DataFrame
    dialect: CsvDialect | None
    inferred: Inferred
    parts: Iterator[SampledRows]


def open_table(place: Place, choice: Choice) -> Opening:
    """Infer how a file is written, and the kinds of its columns, from a sample of its first rows.

    Raises:
        UnusableRows: it cannot be read, or has no row.
    """
    parts = place.parts()
    for rows in parts:
        part = rows.tables[0]
        if not part.is_empty():
            sample = part.select(choice.of(part.columns)).gather_every(max(part.height // SAMPLED, 1))
            return Opening(sample, rows.dialect, infer_kinds(sample, rows.dialect), chain([rows], parts))
    raise UnusableRows(f"--{place.side} {place.given}: there is no row")


def read_table(
    place: Place,
    kinds: Mapping[str, ValueKind],
    inferred: Inferred,
    choice: Choice,
    watch: Watch | None = None,
    parts: Iterable[SampledRows] | None = None,
) -> Table:
    """Read all rows of one side.

    Args:
        kinds: column -> kind, of those to read.
        inferred: how the texts of this side are written.
        watch: is given each part of the rows.
        parts: the rows, where reading them has begun; else they are read from the beginning.

    Raises:
        UnusableRows: it cannot be read, or has fewer than two rows.
    """
    facts = {name: ColumnFacts(name, kind) for name, kind in kinds.items()}
    kept = KeptRows(choice.most, choice.seed)
    stored: dict[str, str] = {}
    late: dict[str, pl.Series] = {}
    seen = 0
    for rows in place.parts() if parts is None else parts:
        for part in rows.tables:
            stored = {name: str(dtype) for name, dtype in part.schema.items()} | stored
            late |= {
                name: part[name].gather_every(max(part.height // SAMPLED, 1))
                for name in choice.of(part.columns)
                if name not in inferred.kinds and name not in late
            }
            read = read_part(part, kinds, inferred.writing)
            for values in read:
                facts[values.name].add(values)
            if watch is not None:
                watch(read)
            seen += part.height
            if plain := {values.name: values.read for values in read if values.kind is not OPAQUE}:
                kept.add(pl.DataFrame(plain))
    _check_rows(place, seen)
    return Table(place, seen, facts, kept.frame(), inferred.assumed, stored, inferred.writing, late)


def _check_rows(place: Place, rows: int) -> None:
    if rows < 2:
        what = "there is no row" if rows == 0 else "one row alone is nothing to compare"
        raise UnusableRows(f"--{place.side} {place.given}: {what}")
