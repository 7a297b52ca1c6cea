"""Drops whose labels have come since they were measured last: which they are, and their performance as of a moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.modelling.watched import known_by, labelled_rows, model_of_version, predicting_versions, reference_rows
from ml_assets.monitoring.maturity import completeness
from ml_assets.monitoring.performance.measures import MEASURED_AT, newest_measures, with_moments
from ml_assets.sources.drops.moments import drop_end

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry

REPORT = "performance_report"


@dataclass(frozen=True)
class LabelledDrop:
    """A drop's predictions beside their labels, by the model that made them; ``why`` they cannot be measured, if so."""

    drop: str
    version: str
    model: ModelContext
    rows: pl.DataFrame
    why: tuple[str, ...] = ()

    def count_known(self, moment: datetime) -> int:
        """Count the rows whose label was known at a moment."""
        return known_by(self.rows, self.model, moment)[self.model.spec.label.column].count()


@dataclass
class LabelledDrops:
    """Reads the predictions and labels of drops, each once, and measures them."""

    lake: Lake
    registry: "Registry"
    model: ModelContext
    _read: dict[str, LabelledDrop] = field(default_factory=dict)
    _references: dict[str, pl.DataFrame] = field(default_factory=dict)

    def of(self, drop: str) -> LabelledDrop:
        """Return the predictions and labels of a drop."""
        self.read([drop])
        return self._read[drop]

    def read(self, drops: Iterable[str]) -> None:
        """Read several drops together, but for those that have been read."""
        wanted = sorted(set(drops) - set(self._read))
        if not wanted:
            return
        by_version: dict[str, list[str]] = {}
        for drop, version in predicting_versions(self.lake, self.model, wanted).items():
            by_version.setdefault(version, []).append(drop)
        for version, of_version in by_version.items():
            own, why = model_of_version(self.lake, self.registry, self.model, version)
            rows = {} if why else labelled_rows(self.lake, own, of_version)
            for drop in of_version:
                self._read[drop] = LabelledDrop(drop, version, own, rows.get(drop, pl.DataFrame()), tuple(why))

    def measure(self, drop: str, moment: datetime, estimated: pl.DataFrame) -> pl.DataFrame:
        """Measure what was realised by the labels known at a moment; rows as the report stores them.

        Args:
            estimated: rows of the drop's estimate, whose chunks are kept.
        """
        from ml_assets.monitoring.performance.watch import watch_realised

        labelled = self.of(drop)
        model, rows = labelled.model, known_by(labelled.rows, labelled.model, moment)
        if labelled.version not in self._references:
            self._references[labelled.version] = reference_rows(self.lake, model, labelled.version)
        reference = self._references[labelled.version]
        about = {"model": model.spec, "spec": model.monitoring, "as_of": moment, "estimated": estimated}
        measured = watch_realised(reference, rows, **about)
        return as_measured(measured, model, drop, labelled.version, moment)


def as_measured(
    performance: pl.DataFrame, model: ModelContext, drop: str, version: str, moment: datetime
) -> pl.DataFrame:
    """Return performance as the report stores it, with drop, version and the moment it was measured at."""
    at = pl.lit(moment).cast(pl.Datetime("us", "UTC")).alias(MEASURED_AT)
    return performance.with_columns(pl.lit(drop).alias(model.spine.partition), pl.lit(version).alias(VERSION), at)


def read_report(lake: Lake, model: ModelContext, drops: Iterable[str] | None = None) -> pl.DataFrame:
    """Read every stored measure, of some drops or of all; without rows before the first."""
    key, partition = model.key(REPORT), model.spine.partition
    if not lake.exists(key):
        return pl.DataFrame(schema={partition: pl.String, "kind": pl.String, MEASURED_AT: pl.Datetime("us", "UTC")})
    report = with_moments(lake.scan(key))
    return (report if drops is None else report.filter(pl.col(partition).is_in(list(drops)))).collect()


def newest_of(report: pl.DataFrame, model: ModelContext, as_of: datetime | None = None) -> pl.DataFrame:
    """Return the newest measures in a report, or those that were the newest at a moment."""
    return newest_measures(report.lazy(), model.spine.partition, as_of).collect()


def drops_that_wait(report: pl.DataFrame, model: ModelContext, as_of: datetime) -> dict[str, int]:
    """Return the drops that still wait for labels at a moment, each with the labels known when it was measured last.

    Args:
        report: measures of drops that ended at the moment or before.
    """
    spec, partition = model.monitoring, model.spine.partition
    newest = newest_of(report, model, as_of)
    if newest.is_empty():
        return {}
    known = completeness(newest, partition, spec.labels, spec.min_chunk_rows).filter(~pl.col("complete"))
    return {
        drop: count
        for drop, count in known.select(partition, "known").iter_rows()
        if spec.labels.waits(drop_end(drop, model.spine.drops), as_of)
    }


def drops_with_new_labels(report: pl.DataFrame, labelled: LabelledDrops, as_of: datetime) -> dict[str, int]:
    """Return the drops that more labels are known of at a moment than when they were measured last, and how many."""
    waiting = drops_that_wait(report, labelled.model, as_of)
    labelled.read(waiting)
    known = {drop: labelled.of(drop).count_known(as_of) for drop in waiting if not labelled.of(drop).why}
    return {drop: count for drop, count in known.items() if count > waiting[drop]}
