"""Drift of one drop: its features held against the champion's reference."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.evaluation import kept_importance
from ml_assets.modelling.records import VERSION
from ml_assets.modelling.watched import NO_VERSION, marked, reference_rows, scored_rows
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.moments import drop_at, drop_end

if TYPE_CHECKING:
    from ml_assets.monitoring.drift.error_rates.false_alarms import FalseAlarms
    from ml_assets.monitoring.drift.statistics.profiles import ReferenceProfiles
    from ml_assets.registry.registry import Registry

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class DropDrift:
    """Drift of one drop, as measured and as stored, with the rows that were compared.

    Attributes:
        profiles: what is to be kept of the drop's profiles; None where no row was scored.
        learned: profiles of the reference that were made now, and are to be kept; None where they were there.
        false_alarms: how often chance alone alerts in its report; None where no row was scored.
    """

    drift: pl.DataFrame
    stored: pl.DataFrame
    rows: pl.DataFrame
    reference: pl.DataFrame
    version: str = NO_VERSION
    profiles: pl.DataFrame | None = None
    learned: "ReferenceProfiles | None" = None
    false_alarms: "FalseAlarms | None" = None


def measure_drop(lake: Lake, model: ModelContext, drop: str) -> DropDrift:
    """Measure the drift of a drop; a drop without predictions has none."""
    from ml_assets.modelling.drift.false_alarms import hold_drop_to_rate
    from ml_assets.modelling.drift.profiles import profile_rows, read_reference
    from ml_assets.monitoring.drift.measure import measure_profiled_drift, no_drift

    rows = scored_rows(lake, model, drop)
    if rows.is_empty():
        none = no_drift(rows.schema[model.spine.time])
        return DropDrift(none, marked(none, model, drop, NO_VERSION), rows, rows)
    version = rows[VERSION][0]
    reference = reference_rows(lake, model, version)
    known = read_reference(lake, model, version, model.features)
    measured = measure_profiled_drift(
        reference,
        rows,
        features=model.features,
        time=model.spine.time,
        spec=model.monitoring,
        season=_season_rows(lake, model, drop),
        known=known,
    )
    drift, false_alarms = hold_drop_to_rate(lake, model, version, measured.drift, reference)
    return DropDrift(
        drift,
        marked(drift, model, drop, version),
        rows,
        reference,
        version,
        profile_rows(measured, model, drop, version),
        None if known else measured.profiles.known,
        false_alarms,
    )


def keep_drop_profiles(lake: Lake, model: ModelContext, measured: Mapping[str, DropDrift]) -> None:
    """Write what the drift of some drops was computed of, by drop, and the references' that are new."""
    from ml_assets.modelling.drift.profiles import keep_profiles, keep_reference

    rows = [drift.profiles for drift in measured.values() if drift.profiles is not None]
    keep_profiles(lake, model, list(measured), rows)
    for version, known in {d.version: d.learned for d in measured.values() if d.learned is not None}.items():
        keep_reference(lake, model, version, known, model.features)


def with_attribution(
    lake: Lake, registry: "Registry", model: ModelContext, measured: DropDrift, drop: str
) -> DropDrift:
    """Add to the drift of a drop whether the version listens to other features than on its holdout, where that is
    declared; of a version whose importances were not kept they are measured on the reference's rows."""
    if not model.monitoring.attribution or measured.drift.is_empty():
        return measured
    from ml_assets.monitoring.drift.attribution import attribution_rows
    from ml_assets.training.evaluation.explain import explain

    spec, version = model.spec, measured.rows[VERSION][0]
    fitted = registry.load(spec.name, version=version)
    of_rows = {"rows": model.monitoring.attribution_rows, "seed": spec.seed}
    reference = kept_importance(lake, model, version)
    if reference is None:
        reference = explain(fitted, measured.reference, **of_rows)
    current = explain(fitted, measured.rows, **of_rows)
    more = attribution_rows(reference, current.select("feature", "share"), measured.drift, model.monitoring)
    drift = pl.concat([measured.drift, more], how="diagonal")
    return replace(measured, drift=drift, stored=marked(drift, model, drop, version))


def _season_rows(lake: Lake, model: ModelContext, drop: str) -> pl.DataFrame | None:
    """Return the rows of the drop a year before this one, if every table that they come from has it."""
    if model.spine.drops.grain == WHOLE:
        return None
    last = drop_end(drop, model.spine.drops) - timedelta(seconds=1)
    before = drop_at(last - YEAR, model.spine.drops)
    keys = [model.spine.table, *(view.key for view in model.views)]
    if not all(before in lake.partitions(key, model.spine.partition) for key in keys):
        return None
    return model.rows(lake, [before])
