"""What monitoring has measured of a model."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.alerts.evidence import AlertEvidence, AlertObservation, observations_needed
from ml_assets.alerts.spec import AlertRule
from ml_assets.fairness.limits import judge_fairness
from ml_assets.fairness.rules import LIMITS
from ml_assets.fairness.spec import FairnessSpec
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.groups import read_drops, shown_groups
from ml_assets.modelling.performance.maturing import newest_of, read_report
from ml_assets.observations.drops import moment_of, newest_drops_of

_SHOWN = 5


class Drift(AlertEvidence):
    """The greatest value of a drift statistic among the features of a drop; PSI unless another is named."""

    about = ("model",)
    unit = "the statistic's unit"
    has_own_limit = True

    def of_model(self, lake: Lake, model: ModelContext, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Read the drift report: of the whole drop, or, of a statistic that is measured by chunk alone, its chunks."""
        table = _newest(lake, model, "drift_report", rule, as_of)
        own = table.filter(
            pl.col("method") == (rule.metric or "psi"),
            pl.col("value").is_not_null(),
            pl.col("rows") >= model.monitoring.min_chunk_rows,  # of fewer rows a value is mostly noise
        )
        by = model.spine.partition
        if not own.filter(scope="period").is_empty():
            parts = own.filter(scope="period").partition_by(by, as_dict=True, maintain_order=True).items()
            return [
                _drifted(moment_of(lake, model.watched, str(drop), model.spine.drops), part) for (drop,), part in parts
            ]
        parts = own.sort("chunk_end").partition_by("chunk_end", as_dict=True, maintain_order=True).items()
        return [_drifted(_utc(end), part) for (end,), part in parts]


def _drifted(at: datetime, part: pl.DataFrame) -> AlertObservation:
    strongest = part.sort("value", descending=True)
    row = strongest.row(0, named=True)
    shown = ", ".join(f"{name} {value:.3g}" for name, value in strongest.select("feature", "value").head(_SHOWN).rows())
    text = f"{row['method']} of the features: {shown}"
    return AlertObservation(at, row["value"], text, row["threshold"], bool(part["alert"].any()))


@dataclass(frozen=True)
class Performance(AlertEvidence):
    """A metric of a drop's predictions; the one that the model is watched by unless another is named."""

    kind: str
    about = ("model",)
    unit = "the metric's unit"
    has_own_limit = True

    def of_model(self, lake: Lake, model: ModelContext, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Read the newest measures of the performance report that were there at the moment."""
        metric, by = rule.metric or model.spec.watched_metric, model.spine.partition
        drops = _drops(lake, model, "performance_report", rule, as_of)
        measures = newest_of(read_report(lake, model, drops), model, as_of) if drops else pl.DataFrame()
        if measures.is_empty():
            return []
        own = measures.filter(kind=self.kind, scope="period", metric=metric).sort(by)
        return [
            AlertObservation(
                moment_of(lake, model.watched, row[by], model.spine.drops),
                row["value"],
                f"{self.kind} {metric} of {row[by]}",
                row["threshold"],
                bool(row["alert"]),
            )
            for row in own.iter_rows(named=True)
        ]


class FairnessOfGroups(AlertEvidence):
    """A limit of `fairness` held against the groups of a drop; how many are broken unless one is named."""

    about = ("model",)
    unit = "the unit of the limit, or the number of broken limits"
    has_own_limit = True

    def of_model(self, lake: Lake, model: ModelContext, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Judge what was measured of the groups of each drop."""
        if rule.metric and rule.metric not in LIMITS:
            raise ValueError(f"metric: {rule.metric!r} is no limit of fairness; there are {', '.join(LIMITS)}")
        by, measured = model.spine.partition, shown_groups(model, read_drops(lake, model.spec.name))
        if measured.is_empty():
            return []
        drops = newest_drops_of(measured[by].unique(), model.spine.drops, observations_needed(rule), as_of)
        return [self._judged(lake, model, rule, measured.filter(pl.col(by) == drop), drop) for drop in drops]

    def _judged(
        self, lake: Lake, model: ModelContext, rule: AlertRule, measured: pl.DataFrame, drop: str
    ) -> AlertObservation:
        spec, at = model.spec.fairness, moment_of(lake, model.watched, drop, model.spine.drops)
        if not rule.metric:
            judged = [each for each in judge_fairness(measured, spec) if each.value is not None]
            broken = [each for each in judged if not each.passed]
            text = "; ".join(each.text for each in broken) or f"all limits are kept in {drop}"
            return AlertObservation(at, float(len(broken)) if judged else None, text, 0.0, bool(broken))
        limit = spec.limits.get(rule.metric, rule.limit)
        if limit is None:
            raise ValueError(f"metric: the model declares no fairness.{rule.metric}: declare it, or `above` or `below`")
        wanted = FairnessSpec.model_construct(**{**FairnessSpec().model_dump(), "min_rows": spec.min_rows})
        wanted = wanted.model_copy(update={rule.metric: limit})
        known = [each for each in judge_fairness(measured, wanted) if each.value is not None]
        if not known:
            return AlertObservation(at, None, f"{rule.metric} of {drop} is not known")
        return AlertObservation(at, known[0].value, known[0].text, limit, not known[0].passed)


def _drops(lake: Lake, model: ModelContext, report: str, rule: AlertRule, as_of: datetime) -> list[str]:
    names = lake.partitions(model.key(report), model.spine.partition)
    return newest_drops_of(names, model.spine.drops, observations_needed(rule), as_of)


def _newest(lake: Lake, model: ModelContext, report: str, rule: AlertRule, as_of: datetime) -> pl.DataFrame:
    """Return a report's rows of the newest drops, in their order."""
    drops = _drops(lake, model, report, rule, as_of)
    if not drops:
        return pl.DataFrame(
            schema={
                "method": pl.String,
                "value": pl.Float64,
                "scope": pl.String,
                "chunk_end": pl.Date,
                "rows": pl.Int64,
            }
        )
    by = model.spine.partition
    return lake.scan(model.key(report)).filter(pl.col(by).is_in(drops)).sort(by).collect()


def _utc(moment: object) -> datetime:
    from datetime import UTC

    if not isinstance(moment, datetime):
        raise TypeError(f"{moment!r} is no moment")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


DRIFT, FAIRNESS = Drift(), FairnessOfGroups()
ESTIMATED, REALISED = Performance("estimated"), Performance("realised")
