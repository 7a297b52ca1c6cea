"""Profiles in the lake: what the features of each drop were like, chunk by chunk, and of each version's reference.

Two tables of a model, beside its drift report. ``profiles`` has a row per drop, chunk and feature, and
``reference_profiles`` one per version, chunk and feature, and the grid that both are counted on. What was kept answers
later questions without reading rows: weeks merge into drops and drops into months, each to compare with the reference.
"""

import hashlib
from collections.abc import Collection, Sequence

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.monitoring.drift.measure import MeasuredDrift
from ml_assets.monitoring.drift.statistics.profiles import ReferenceProfiles
from ml_assets.profiles import Grid, Profile
from ml_assets.profiles.grid_bytes import grid_from_bytes, grid_to_bytes
from ml_assets.profiles.profile import ColumnProfile, column_from_bytes, column_to_bytes, merge_columns

PROFILES, REFERENCE_PROFILES = "profiles", "reference_profiles"
"""Names of the two tables, beside the model's others."""
LEARNED_FROM = "learned_from"
"""Column of the second: digest of the reference's files and of what is declared about it."""


def profile_rows(measured: MeasuredDrift, model: ModelContext, drop: str, version: str) -> pl.DataFrame:
    """Return the rows of ``profiles`` about one drop: drop, model_version, chunk_start, chunk_end, feature, rows, grid,
    profile."""
    spans = measured.spans.filter(pl.col("rows") > 0).sort("chunk_start")
    profiles = measured.profiles.chunks.values()
    parts = [
        _rows(profile).with_columns(pl.lit(start).alias("chunk_start"), pl.lit(end).alias("chunk_end"))
        for start, end, profile in zip(spans["chunk_start"], spans["chunk_end"], profiles, strict=True)
    ]
    head = pl.lit(drop).alias(model.spine.partition), pl.lit(version).alias(VERSION), "chunk_start", "chunk_end"
    return pl.concat(parts).select(*head, "feature", "rows", "grid", "profile")


def _rows(profile: Profile) -> pl.DataFrame:
    columns = profile.columns
    return pl.DataFrame(
        {
            "feature": list(columns),
            "rows": [column.rows for column in columns.values()],
            "grid": [column.grid.hex() for column in columns.values()],
            "profile": [column_to_bytes(column) for column in columns.values()],
        },
        schema_overrides={"rows": pl.Int64, "profile": pl.Binary},
    )


def keep_profiles(lake: Lake, model: ModelContext, drops: Sequence[str], rows: Sequence[pl.DataFrame]) -> None:
    """Replace the profiles of some drops; those of which no row was scored have none."""
    key = model.key(PROFILES)
    if rows or lake.exists(key):
        kept = pl.concat(rows) if rows else lake.scan(key).head(0).collect()
        lake.replace(key, kept, {model.spine.partition: list(drops)})


def read_profiles(
    lake: Lake, model: ModelContext, drops: Sequence[str], features: Collection[str] | None = None
) -> dict[str, ColumnProfile]:
    """Merge what is kept of some drops into one profile per feature; empty where nothing is.

    Args:
        features: those to read; None for all.

    Raises:
        ValueError: the drops were counted on different grids, as champions with other references had scored them.
    """
    if not lake.exists(model.key(PROFILES)):
        return {}
    stored = lake.scan(model.key(PROFILES)).filter(pl.col(model.spine.partition).is_in(list(drops)))
    if features is not None:
        stored = stored.filter(pl.col("feature").is_in(list(features)))
    merged: dict[str, ColumnProfile] = {}
    for name, content in stored.select("feature", "profile").collect().iter_rows():
        column = column_from_bytes(content)
        merged[name] = merge_columns(name, merged[name], column) if name in merged else column
    return merged


def learned_from(lake: Lake, model: ModelContext, features: Sequence[str]) -> str:
    """Digest what a reference's profiles come from: the table's files, and what is declared about them."""
    key, watched = model.key("reference"), model.monitoring
    files = lake.files(key, lake.version(key))
    declared = (sorted(features), watched.psi_bins, watched.chunk, sorted(watched.private), sorted(watched.exclude))
    return hashlib.sha256(repr((files, declared)).encode()).hexdigest()[:16]


def keep_reference(
    lake: Lake, model: ModelContext, version: str, known: ReferenceProfiles, features: Sequence[str]
) -> None:
    """Replace the reference's profiles of a version."""
    grids = {name: grid_to_bytes(grid) for name, grid in known.grid.columns.items()}
    parts = [
        _rows(profile).with_columns(pl.lit(chunk, pl.Int64).alias("chunk")) for chunk, profile in known.chunks.items()
    ]
    rows = pl.concat(parts).select(
        pl.lit(version).alias(VERSION),
        pl.lit(learned_from(lake, model, features)).alias(LEARNED_FROM),
        "chunk",
        "feature",
        "rows",
        "grid",
        pl.when(pl.col("chunk") == pl.col("chunk").min())
        .then(pl.col("feature").replace_strict(list(grids), pl.Series(grids.values(), dtype=pl.Binary)))
        .alias("cuts"),
        "profile",
    )
    lake.replace(model.key(REFERENCE_PROFILES), rows, {VERSION: [version]})


def read_reference(
    lake: Lake, model: ModelContext, version: str, features: Sequence[str] | None = None
) -> ReferenceProfiles | None:
    """Return what is kept of a version's reference, None where nothing is.

    Args:
        features: of the model; given, what is kept counts only while it still comes from the same reference and
            declaration.
    """
    if version not in lake.partitions(model.key(REFERENCE_PROFILES), VERSION):
        return None
    stored = lake.scan(model.key(REFERENCE_PROFILES)).filter(pl.col(VERSION) == version).collect()
    if features is not None and stored[LEARNED_FROM][0] != learned_from(lake, model, features):
        return None
    grids = stored.drop_nulls("cuts").select("feature", "cuts")
    grid = Grid({name: grid_from_bytes(content) for name, content in grids.iter_rows()})
    chunks = {
        chunk: Profile({name: column_from_bytes(of) for name, of in rows.select("feature", "profile").iter_rows()})
        for (chunk,), rows in stored.sort("chunk", maintain_order=True).group_by("chunk", maintain_order=True)
    }
    return ReferenceProfiles(grid, chunks)
