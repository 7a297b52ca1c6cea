"""A view's features of a spine's rows, computed part by part and written to files, with a sample to audit."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml_assets.features.audit.leaks import AUDITED_ROWS
from ml_assets.features.digests.inputs import INPUTS, digest_inputs
from ml_assets.features.engine.parts import compute_features_in_parts
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_rows


@dataclass(frozen=True)
class ComputedFeatures:
    """What was computed of a spine's rows.

    Attributes:
        stored: the rows to store, lazily from files.
        rows: some rows of the spine, drawn at random.
        features: the features of these rows.
        missing_share: feature -> share of the spine's rows that have no value.
    """

    stored: pl.LazyFrame
    rows: pl.DataFrame
    features: pl.DataFrame
    missing_share: dict[str, float]


def compute_to_files(
    view: FeatureViewSpec, rows: pl.LazyFrame, events: pl.LazyFrame | None, folder: Path, *, partition: str, time: str
) -> ComputedFeatures:
    """Compute the features of a spine's rows.

    Args:
        events: the view's table; None for a view of features of the row only.
        folder: an empty folder for what is to be stored, as large as that.
        partition: the spine's column that names a row's drop.
        time: the spine's column of prediction times.
    """
    samples, missing, height = [], [], 0
    digests = digest_inputs(view, rows, events, partition=partition, time=time)
    for number, part in enumerate(compute_features_in_parts(view, rows, events, time=time)):
        # What is equal has one key and one time, so it lies in one part.
        kept = stored_rows(view, part.rows, part.features, partition, time)
        _with_inputs(kept, digests, partition).write_ipc(folder / f"{number}.arrow")
        drawn = _draw(part.rows.height)
        samples.append((part.rows[drawn], part.features[drawn]))
        missing.append(part.features.select(view.computed_features).null_count())
        height += part.rows.height
    sampled, features = (pl.concat(side) for side in zip(*samples, strict=True))
    drawn = _draw(sampled.height)
    shares = pl.concat(missing).sum().select((pl.all() / max(height, 1)).round(4)).row(0, named=True)
    return ComputedFeatures(pl.scan_ipc(folder), sampled[drawn], features[drawn], shares)


def _draw(height: int) -> pl.Series:
    return pl.int_range(height, eager=True).sample(min(AUDITED_ROWS, height), seed=0)


def _with_inputs(stored: pl.DataFrame, digests: dict[str, str], partition: str) -> pl.DataFrame:
    """Add the digest of its drop's inputs to each row to store: the two are written in one commit."""
    of_drop = pl.col(partition).replace_strict(digests, default=None, return_dtype=pl.String)
    return stored.with_columns(of_drop.alias(INPUTS))


def facts_left_out(view: FeatureViewSpec, events: pl.LazyFrame | None) -> dict[str, int]:
    """Count the rows of the view's table that no feature can use, by the column that they have no value of."""
    if events is None:
        return {}
    of_one = view.planned.of_one if view.planned else []
    needed: list[str] = list(dict.fromkeys([*view.entity, *([view.known_at] if view.known_at else []), *of_one]))
    nulls = events.select(pl.col(needed).null_count()).collect(engine="streaming").row(0, named=True)
    return {f"without {name}": count for name, count in nulls.items() if count}
