"""Performance of one drop after another: estimated without labels, realised where labels are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake, TableVersion
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.maturing import (
    REPORT,
    LabelledDrops,
    as_measured,
    drops_with_new_labels,
    newest_of,
    read_report,
)
from ml_assets.modelling.records import VERSION
from ml_assets.modelling.watched import NO_VERSION, as_predicted, predicting_model, reference_rows, scored_rows
from ml_assets.monitoring.maturity import is_matured
from ml_assets.monitoring.performance.measures import MEASURED_AT, add_measures
from ml_assets.sources.drops.moments import drop_end

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry


@dataclass(frozen=True)
class DropPerformance:
    """Estimated and realised performance of one drop, and what it was measured on.

    Attributes:
        version: which made the predictions.
        performance: the newest estimate and the newest realised values, with the moment of each measure.
        measures: every measure of the drop.
        before: the performance of earlier drops by which its estimate can be judged.
        rows: the predictions beside features and the labels known when the drop ended.
    """

    drop: str
    version: str
    performance: pl.DataFrame
    measures: pl.DataFrame
    before: pl.DataFrame
    rows: pl.DataFrame
    reference: pl.DataFrame


@dataclass(frozen=True)
class MeasuredDrops:
    """What one run has measured.

    Attributes:
        drops: the drops of the run.
        again: newest measures of the earlier drops whose labels have come since they were measured last.
        record: every measure of every drop, old and new.
        rows: the new rows of the report.
        made: drop and moment of each measure, also of one without rows.
    """

    drops: dict[str, DropPerformance]
    again: dict[str, pl.DataFrame]
    record: pl.DataFrame
    rows: pl.DataFrame
    made: frozenset[tuple[str, datetime]]


def measure_performance(lake: Lake, registry: "Registry", model: ModelContext, drops: Sequence[str]) -> MeasuredDrops:
    """Measure some drops in order, each as of its end, and with it the earlier drops whose labels have come by then.

    The errors of the estimates of earlier drops widen the band of later ones. A drop that was measured again before,
    and is made anew, is measured as of the newest of these moments too.
    """
    run = _Run(lake, registry, model, read_report(lake, model), LabelledDrops(lake, registry, model))
    first = {drop: run.measure(drop) for drop in drops}
    again = sorted({drop for drop, _ in run.made} - set(drops))
    return MeasuredDrops(
        drops={drop: run.newest(measured) for drop, measured in first.items()},
        again={drop: run.shown(drop) for drop in again},
        record=run.record,
        rows=run.of_run,
        made=frozenset(run.made),
    )


def look_again(
    lake: Lake, registry: "Registry", model: ModelContext, measured: MeasuredDrops
) -> tuple[dict[str, DropPerformance], dict[str, str]]:
    """Return what the drops that were measured again are about, and of which features cannot be had any more, and
    why."""
    run = _Run(lake, registry, model, measured.record, LabelledDrops(lake, registry, model))
    looked_at = {drop: run.look_again(drop) for drop in measured.again}
    there = {drop: found for drop, found in looked_at.items() if not isinstance(found, str)}
    return there, {drop: why for drop, why in looked_at.items() if isinstance(why, str)}


def store_measures(lake: Lake, model: ModelContext, measured: MeasuredDrops) -> tuple[TableVersion, pl.DataFrame]:
    """Add what a run has measured to the report, and return the rows of its drops.

    Nothing that was measured before goes, but the same drop's measure of the same moment.
    """
    partition = model.spine.partition
    touched = sorted({drop for drop, _ in measured.made})
    stored = read_report(lake, model, touched)
    rows = add_measures(stored, measured.rows, measured.made, partition, lambda drop: drop_end(drop, model.spine.drops))
    return lake.replace(model.key(REPORT), rows, {partition: touched}), rows


@dataclass
class _Run:
    """Measures drops one after the other; ``record`` holds every measure so far, ``made`` those of the run."""

    lake: Lake
    registry: "Registry"
    model: ModelContext
    record: pl.DataFrame
    labelled: LabelledDrops
    made: set[tuple[str, datetime]] = field(default_factory=set)

    @property
    def of_run(self) -> pl.DataFrame:
        made = pl.DataFrame(list(self.made), schema=self.record.select(self._named).schema, orient="row")
        return self.record.join(made, on=self._named, how="semi", maintain_order="left")

    @property
    def _named(self) -> list[str]:
        return [self.model.spine.partition, MEASURED_AT]

    def measure(self, drop: str) -> DropPerformance:
        """Measure a drop as of its end, after the earlier ones whose labels have come by then."""
        end = self._end(drop)
        due = drops_with_new_labels(self._before(drop), self.labelled, end)
        self._add({(earlier, end): self._measure_again(earlier, end) for earlier in due})
        measured = self._measure(as_predicted(self.lake, self.registry, self.model, drop), drop, end)
        self._add({(drop, end): as_measured(measured.performance, self.model, drop, measured.version, end)})
        later = self._of(drop)[MEASURED_AT].max()
        if isinstance(later, datetime) and later > end:
            self._add({(drop, later): self._measure_again(drop, later)})
        return measured

    def look_again(self, drop: str) -> DropPerformance | str:
        """Return what a drop was measured on, or why its features cannot be had any more."""
        version, model, why = predicting_model(self.lake, self.registry, self.model, drop)
        if why:
            return "; ".join(why)
        rows = scored_rows(self.lake, model, drop)
        reference = reference_rows(self.lake, model, version)
        before = self._judged(drop, self._end(drop))
        return self.newest(DropPerformance(drop, version, rows.clear(), rows.clear(), before, rows, reference))

    def newest(self, measured: DropPerformance) -> DropPerformance:
        """Return a drop with its newest measures and all of them."""
        return replace(measured, performance=self.shown(measured.drop), measures=self._of(measured.drop))

    def shown(self, drop: str) -> pl.DataFrame:
        """Return the newest measures of a drop."""
        return newest_of(self._of(drop), self.model).drop(self.model.spine.partition, VERSION, strict=False)

    def _measure_again(self, drop: str, moment: datetime) -> pl.DataFrame:
        estimated = newest_of(self._of(drop), self.model).filter(kind="estimated")
        return self.labelled.measure(drop, moment, estimated)

    def _measure(self, model: ModelContext, drop: str, end: datetime) -> DropPerformance:
        from ml_assets.monitoring.performance.table import no_performance
        from ml_assets.monitoring.performance.watch import watch_performance

        rows, before = scored_rows(self.lake, model, drop), self._judged(drop, end)
        if rows.is_empty():
            none = no_performance(rows.schema[model.spine.time])
            return DropPerformance(drop, NO_VERSION, none, none, before, rows, rows)
        version = rows[VERSION][0]
        reference = reference_rows(self.lake, model, version)
        performance = watch_performance(
            reference,
            rows,
            model=model.spec,
            features=model.features,
            spec=model.monitoring,
            earlier=_earlier_rows(self.lake, model, drop, version, self._unripe(drop, end)),
            record=before if before.height else None,
            as_of=end,
        )
        return DropPerformance(drop, version, performance, performance, before, rows, reference)

    def _judged(self, drop: str, end: datetime) -> pl.DataFrame:
        """Return the performance of earlier drops, as it was known at a moment: estimates, and what has matured."""
        before = newest_of(self._before(drop), self.model, end)
        if before.is_empty():
            return before
        return before.filter((pl.col("kind") != "realised") | is_matured(self.model.monitoring.labels, end))

    def _unripe(self, drop: str, end: datetime) -> list[str]:
        """Return the earlier drops too few of whose labels are known at a moment to learn from."""
        before = newest_of(self._before(drop), self.model, end)
        if before.is_empty():
            return []
        realised = before.filter(~is_matured(self.model.monitoring.labels, end), kind="realised", scope="period")
        return realised[self.model.spine.partition].unique().to_list()

    def _add(self, measures: Mapping[tuple[str, datetime], pl.DataFrame]) -> None:
        if measures:
            rows = pl.concat(measures.values(), how="diagonal_relaxed")
            self.record = add_measures(self.record, rows, measures, self.model.spine.partition, self._end)
            self.made |= set(measures)

    def _before(self, drop: str) -> pl.DataFrame:
        return self.record.filter(pl.col(self.model.spine.partition) < drop)

    def _of(self, drop: str) -> pl.DataFrame:
        return self.record.filter(pl.col(self.model.spine.partition) == drop)

    def _end(self, drop: str) -> datetime:
        return drop_end(drop, self.model.spine.drops)


def _earlier_rows(
    lake: Lake, model: ModelContext, drop: str, version: str, unripe: Sequence[str]
) -> pl.DataFrame | None:
    """Return the same version's predictions for the drops before, with the labels known when this drop ended.

    Args:
        unripe: drops that are left out: the labels that come first are no fair sample.
    """
    by_drop = lake.scan(model.watched).filter(pl.col(model.spine.partition) < drop, pl.col(VERSION) == version)
    drops = by_drop.select(pl.col(model.spine.partition).unique().sort()).collect().to_series().to_list()
    drops = [earlier for earlier in drops if earlier not in set(unripe)]
    drops = drops[max(0, len(drops) - model.monitoring.earlier_drops) :]
    earlier = [scored_rows(lake, model, earlier_drop, known_in=drop) for earlier_drop in drops]
    same = [rows for rows in earlier if rows.height and rows[VERSION][0] == version]
    return pl.concat(same, how="diagonal_relaxed") if same else None
