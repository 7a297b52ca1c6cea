"""Rows of a source that are in no ingested drop, each counted by the reason: none may be lost in silence."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from ml_assets.sources.delivery.read import blaming
from ml_assets.sources.files.fetch import locate
from ml_assets.sources.files.listing import held_partitions
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import SourceSpec


@dataclass(frozen=True)
class Placement:
    """Rows outside of the ingested drops.

    Attributes:
        places: rows by place, such as `before 2024-01`, without places that have none.
        waiting: rows that lie in declared drops which are not ingested.
        files: names of files, one drop each, that no declared drop has.
    """

    places: dict[str, int]
    waiting: int
    files: tuple[str, ...] = ()

    @property
    def outside(self) -> int:
        """Rows that no declared drop takes."""
        return sum(self.places.values())


def place_rows(spec: SourceSpec, schema: Schema, ingested: Iterable[str]) -> Placement:
    """Count what a source that is cut into drops holds beyond the ingested ones.

    Of a file, folder or table the one column is read that it is cut by; a database counts by itself. Of files of one
    drop each only the names are looked at.

    Raises:
        SourceError: the place cannot be reached or read.
    """
    held = sorted(name for name in ingested if spec.drops.expects(name))
    with blaming(spec, ["all"]):
        if spec.cut_by is None:
            return Placement({}, 0, _strange_files(spec))
        counts = spec.reader.count_rows(spec, schema, held)
    places = {
        f"before {spec.drops.start}": counts.before,
        f"from {spec.drops.end} on": counts.after,
        f"without {spec.cut_by}": counts.unknown,
    }
    return Placement({place: rows for place, rows in places.items() if rows}, counts.waiting)


def placement_table(placed: Placement) -> pl.DataFrame:
    """Return a row per place: `place` (String), `rows` (Int64, null of a file that is not read), `waits` (Boolean)."""
    rows = [(place, count, False) for place, count in placed.places.items()]
    rows += [("not ingested", placed.waiting, True)] if placed.waiting else []
    rows += [(f"file {name}", None, False) for name in placed.files]
    schema = {"place": pl.String, "rows": pl.Int64, "waits": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _strange_files(spec: SourceSpec) -> tuple[str, ...]:
    address = locate(spec.where)
    if address.startswith(("http://", "https://")):  # it is searched for declared drops alone, and cannot be listed
        return ()
    return tuple(name for name in held_partitions(address, None) if not spec.drops.expects(name))
