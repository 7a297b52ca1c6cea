"""Tables of the lake by asset key, as they are and as they were."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ml_assets.addresses import local_path
from ml_assets.declarations.project import DeclaredProject
from ml_assets.lake import Lake, TableMissing
from ml_assets.public.unknown import unknown_name

OF_SOURCE = ("raw", "validated", "quarantine")
OF_MODEL = (
    "training_set",
    "tuned_parameters",
    "model",
    "evaluation",
    "reference",
    "champion",
    "predictions",
    "served_predictions",
    "drift_report",
    "performance_report",
    "retrain_decision",
)


def scan_table(lake: Lake, declared: DeclaredProject, key: str, version: int | None) -> pl.LazyFrame:
    """Read a table lazily, at its newest or an earlier version.

    Raises:
        UnknownName: there is no such table; the message names those nearest.
        TableMissing: it is declared, and has not been written yet.
        ValueError: it has no such version.
    """
    if not lake.exists(key):
        if key in declared_tables(declared):
            raise TableMissing(f"table {key} is not in the lake at {lake.root} yet: materialize {key} first")
        raise unknown_name("table", key, tables_of(lake, declared))
    newest = lake.version(key) if version is not None else 0
    if version is not None and not 0 <= version <= newest:
        raise ValueError(f"table {key} has no version {version}: there are 0 to {newest}")
    return lake.scan(key, version)


def tables_of(lake: Lake, declared: DeclaredProject) -> list[str]:
    """List the tables that are in a lake; in an object store those of them that the declarations name."""
    root = local_path(lake.root)
    if root is not None:
        return sorted(str(table.relative_to(root)) for table in _tables_below(root)) if root.is_dir() else []
    return sorted(key for key in declared_tables(declared) if lake.exists(key))


def declared_tables(declared: DeclaredProject) -> set[str]:
    """Return the key of every table that the declarations name or lead to."""
    named = {source.table(part) for source in declared.sources.values() for part in OF_SOURCE}
    named |= {spine.table for spine in declared.spines.values()}
    for view in declared.views.values():
        named |= {view.table, view.key} if view.table is not None else {view.key}
    named |= {table for outcome in declared.outcomes.values() for table in (outcome.table, outcome.key)}
    return named | {f"{model}/{part}" for model in declared.models for part in OF_MODEL}


def _tables_below(folder: Path) -> Iterator[Path]:
    if (folder / "_delta_log").is_dir():
        yield folder
        return
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _tables_below(entry)
