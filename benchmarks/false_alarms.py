"""How often noise alone would start a retraining, and how surely a real loss does.

Run `python benchmarks/false_alarms.py [--json] [--resamples 200] [--home HOME]` with a home in which a champion serves.
Histories without drift are made of the champion's reference: each chunk is drawn from its days, with replacement.
They go through the functions that the assets call, with limits learned from the reference. Then the latest two chunks
of each history lose a fifth of their ROC AUC: the labels of a share of rows are drawn anew at the base rate, so that
the outcome follows the features less. Nothing shows that but the labels. Exit code 1 says that a promise is broken at
the default policy: false alarms in fewer than 5 % of periods, at least 90 % of the losses found.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.spine import Spine
from ml_assets.components.model.ml_model import MLModel
from ml_assets.durations import parse_duration
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.modelling.records import AS_OF, VERSION
from ml_assets.monitoring.drift.measure import measure_drift
from ml_assets.monitoring.performance.watch import estimate_performance, realise_performance
from ml_assets.retraining.decide import decide
from ml_assets.retraining.evidence import Circumstances, Evidence, gather_evidence
from ml_assets.retraining.limits import LearntLimits, learn_limits
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.settings import read_settings
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.ranked_scores import rank_scores
from ml_assets.training.tasks.columns import PREDICTION, SCORE

MODEL = "flight_delay"
STATISTICAL = ["realised", "estimated", "calibration", "drift", "multivariate"]
LOSS, WITHIN = 0.2, 2
MOST_FALSE_ALARMS, LEAST_FOUND = 0.05, 0.9
CHUNKS_AT_ONCE = 150  # 4 GB; fitting NannyML anew for every history would take an hour
SEED = 20
START, DAY = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=1)
HISTORY, LATEST = "history", "latest"
# Nothing but its measurements speaks for or against training this champion again.
AT_REST = Circumstances(
    as_of=START + 100 * DAY, trained_as_of=START, last_trained=START, labelled_rows=100_000, new_labels=10_000
)


@dataclass(frozen=True)
class UseCase:
    """The declared model with its champion's out-of-sample rows."""

    model: MLModel
    features: list[str]
    time: str
    reference: pl.DataFrame


@dataclass(frozen=True)
class Histories:
    """Chunk rows of all histories, as monitoring measured them; ``lost`` is realised performance after the loss."""

    drift: pl.DataFrame
    estimated: pl.DataFrame
    realised: pl.DataFrame
    lost: pl.DataFrame


@dataclass(frozen=True)
class Rate:
    """A share of histories with its Wilson interval at 95 %."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """What one policy did; by kind of evidence, whether the policy counts it or not, and as decided."""

    counted: list[str]
    limits: LearntLimits
    false_alarms: dict[str, Rate]
    found: dict[str, Rate]


def load_use_case(lake: Lake) -> UseCase:
    """The shipped declaration and the reference of the version promoted last."""
    import dagster as dg

    import ml_assets

    tree = dg.ComponentTree.for_project(Path(ml_assets.__file__))
    models, spines, views = (
        {component.name: component for component in tree.get_all_components(of_type=kind)}
        for kind in (MLModel, Spine, FeatureView)
    )
    model = models[MODEL]
    features = [name for view in model.features for name in views[view].feature_names]
    promoted = lake.scan(f"{MODEL}/champion").filter("promote").sort(AS_OF).collect()["challenger"]
    reference = lake.scan(f"{MODEL}/reference").filter(pl.col(VERSION) == promoted[-1]).collect()
    return UseCase(model, features, spines[model.spine].time, reference)


def draw_chunks(case: UseCase, chunks: int, rng: np.random.Generator) -> pl.DataFrame:
    """Chunks of whole days of the reference, drawn with replacement and dated one after the other from START on."""
    day = pl.col(case.time).dt.truncate("1d")
    by_day = case.reference.with_columns(day=day).partition_by("day", maintain_order=True)
    picks = rng.integers(0, len(by_day), chunks * (parse_duration(case.model.monitoring.chunk) // DAY))
    return pl.concat(
        by_day[pick].with_columns(pl.col(case.time) - pl.col("day") + START + number * DAY)
        for number, pick in enumerate(picks)
    ).drop("day")


def lose(rows: pl.DataFrame, case: UseCase, rng: np.random.Generator) -> pl.DataFrame:
    """``rows`` with so many labels drawn anew that AUC falls by LOSS; all of them would take it to 0.5, linearly."""
    label = case.model.label.column
    known = case.reference[label].cast(pl.Float64)
    auc = measure(rank_scores(known.to_numpy(), case.reference[SCORE].to_numpy()), ["roc_auc"])["roc_auc"]
    redrawn = pl.Series(rng.random(rows.height) < LOSS * auc / (auc - 0.5))
    drawn = pl.Series(rng.random(rows.height) < known.mean())
    return rows.with_columns(pl.when(redrawn).then(drawn).otherwise(label).alias(label))


def measure_histories(case: UseCase, histories: int, of_last: int) -> Histories:
    """Histories of ``of_last`` chunks through monitoring, many at once: no chunk depends on another."""
    # Evidence of drift is PSI and reconstruction error; the slowest of the other methods are left out.
    fast = {"continuous_methods": ["jensen_shannon"], "categorical_methods": ["jensen_shannon"]}
    spec, rng = case.model.monitoring.model_copy(update=fast), np.random.default_rng(SEED)
    about = {"probability": SCORE, "prediction": PREDICTION, "label": case.model.label.column}
    about |= {"time": case.time, "spec": spec}
    at_once, length = max(1, CHUNKS_AT_ONCE // of_last), parse_duration(spec.chunk)
    parts = []
    for first in range(0, histories, at_once):
        rows = draw_chunks(case, min(at_once, histories - first) * of_last, rng)
        found = (
            measure_drift(case.reference, rows, features=case.features, time=case.time, spec=spec),
            estimate_performance(case.reference, rows, **about),
            realise_performance(rows, **about),
            realise_performance(lose(rows, case, rng), **about),
        )
        number = (pl.col("chunk_start") - START).dt.total_seconds() // int(length.total_seconds())
        of_history = {HISTORY: number // of_last + first, LATEST: number % of_last >= of_last - WITHIN}
        parts.append([frame.filter(scope="chunk").with_columns(**of_history) for frame in found])
    return Histories(*(pl.concat(frames) for frames in zip(*parts, strict=True)))


def judge(case: UseCase, measured: Histories, policy: RetrainingSpec) -> Outcome:
    """Let one policy decide on every history, as it was and after the loss."""
    limits = learn_limits(
        case.reference,
        features=case.features,
        time=case.time,
        label=case.model.label.column,
        metric=case.model.metric,
        monitoring=case.model.monitoring,
        retraining=policy,
    )
    lost = pl.concat([measured.realised.filter(~pl.col(LATEST)), measured.lost.filter(LATEST)])
    return Outcome(
        policy.evidence,
        limits,
        _rates(_gather(case, measured, measured.realised, limits, policy), policy),
        _rates(_gather(case, measured, lost, limits, policy), policy),
    )


def _gather(case: UseCase, measured: Histories, realised: pl.DataFrame, limits: LearntLimits, policy: RetrainingSpec):
    drift, performance = (
        frame.partition_by(HISTORY, as_dict=True)
        for frame in (measured.drift, pl.concat([measured.estimated, realised]))
    )
    return [
        gather_evidence(
            drift=drift[number],
            performance=performance[number],
            limits=limits,
            metric=case.model.metric,
            circumstances=AT_REST,
            monitoring=case.model.monitoring,
            retraining=policy,
        )
        for number in sorted(drift)
    ]


def _rates(histories: list[list[Evidence]], policy: RetrainingSpec) -> dict[str, Rate]:
    breached = [{item.kind for item in evidence if item.breached} for evidence in histories]
    by_kind = {kind: _rate([kind in kinds for kinds in breached]) for kind in STATISTICAL}
    return by_kind | {"decided": _rate([decide(evidence, policy).retrain for evidence in histories])}


def _rate(happened: list[bool]) -> Rate:
    from scipy.stats import binomtest

    interval = binomtest(sum(happened), len(happened)).proportion_ci(method="wilson")
    return Rate(sum(happened) / len(happened), float(interval.low), float(interval.high))


def compare(home: Path | None, resamples: int) -> dict[str, Outcome]:
    """The default policy, and one that counts every kind of evidence that noise can breach."""
    case = load_use_case(Lake(str(home / "lake") if home else Home.of(read_settings()).lake))
    policies = {"default": RetrainingSpec(), "every kind": RetrainingSpec(evidence=STATISTICAL)}
    measured = measure_histories(case, resamples, policies["default"].of_last)
    return {name: judge(case, measured, policy) for name, policy in policies.items()}


def tell(outcomes: dict[str, Outcome]) -> str:
    """A table per policy; kinds in brackets are recorded but not counted."""
    lines = []
    for name, outcome in outcomes.items():
        lines += [f"{name}: {outcome.limits}", f"{'':>14}  {'false alarms':>24}  {'found':>24}"]
        for kind in outcome.false_alarms:
            shown = kind if kind in [*outcome.counted, "decided"] else f"[{kind}]"
            rates = (outcome.false_alarms[kind], outcome.found[kind])
            lines.append(f"{shown:>14}" + "".join(f"  {r.share:8.1%} ({r.low:5.1%} .. {r.high:6.1%})" for r in rates))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--resamples", type=int, default=200, help="histories, 200 by default")
    parser.add_argument("--home", type=Path, help="home with a champion; by default ML_ASSETS_HOME")
    given = parser.parse_args()
    outcomes = compare(given.home, given.resamples)
    told = {name: asdict(outcome) for name, outcome in outcomes.items()}
    print(json.dumps(told, indent=1) if given.json else tell(outcomes))  # noqa: T201
    default = outcomes["default"]
    kept = default.false_alarms["decided"].share < MOST_FALSE_ALARMS and default.found["decided"].share >= LEAST_FOUND
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
