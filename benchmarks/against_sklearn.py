"""Every champion's training beside a naive baseline and a plain scikit-learn model on the same split.

Run `python benchmarks/against_sklearn.py [--home HOME] [--json]` with a home in which the use cases were run
(`ml-assets run USE_CASE --train-as-of DATE`). Per model the latest training set is read from the lake with the version
that was trained on it. Beside it scikit-learn's HistGradientBoosting learns the same training rows with its defaults,
text as categories, the loss that fits the metric, and stops early on a tenth of them, as it does by itself. All three
are measured on the holdout, which none has seen; the difference to scikit-learn has a paired bootstrap interval over
the declared blocks. Exit code 1 says that a model does not beat the naive baseline.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ml_assets.automation.projects import declared_models
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.spine import Spine
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import AS_OF, TrainedVersion, read_record
from ml_assets.modelling.training_set import read_part
from ml_assets.project import load_current
from ml_assets.resources import RegistryResource
from ml_assets.settings import read_settings
from ml_assets.training.evaluation.baseline import fit_baseline, predict_baseline
from ml_assets.training.evaluation.evaluate import time_blocks
from ml_assets.training.fit import predict
from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.metrics.measure import measure
from ml_assets.training.tasks import REGRESSION, find_metric, find_task
from ml_assets.training.tasks.classes import align_classes

CATEGORIES = 255
"""Most that histogram trees of scikit-learn tell apart."""


@dataclass(frozen=True)
class Compared:
    """One metric of one model on the holdout; ``better_than_sklearn`` is positive where the platform's is better."""

    model: str
    metric: str
    baseline: float
    sklearn: float
    ml_assets: float
    better_than_sklearn: float
    low: float
    high: float


def plain_model(train: pl.DataFrame, holdout: pl.DataFrame, context: ModelContext) -> tuple[np.ndarray, list | None]:
    """What scikit-learn's defaults predict for the holdout, and the order of the classes."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    spec = context.spec
    table = pl.concat([train.select(context.features), holdout.select(context.features)]).to_pandas()
    texts = [name for name, dtype in train.select(context.features).schema.items() if dtype == pl.String]
    for name in texts:
        column = table[name].astype("category")
        table[name] = column if len(column.cat.categories) <= CATEGORIES else column.cat.codes
    rows, unseen = table.iloc[: train.height], table.iloc[train.height :]
    shared = {"random_state": spec.seed, "categorical_features": "from_dtype"}
    if spec.task == REGRESSION:
        loss = "absolute_error" if spec.metric == "mae" else "squared_error"
        model = HistGradientBoostingRegressor(loss=loss, **shared).fit(rows, train[spec.label.column].to_numpy())
        return model.predict(unseen), None
    label = (
        find_task(spec.task).outcomes(train[spec.label.column], None)
        if spec.task == "binary"
        else train[spec.label.column]
    )
    model = HistGradientBoostingClassifier(**shared).fit(rows, np.asarray(label))
    probability = model.predict_proba(unseen)
    return (probability[:, 1], None) if spec.task == "binary" else (probability, [str(one) for one in model.classes_])


def compare(context: ModelContext, lake: Lake, registry) -> list[Compared]:
    """Every metric of the task on the holdout of the latest training."""
    spec = context.spec
    as_of = lake.scan(context.key("model")).select(pl.col(AS_OF).max()).collect().item()
    trained = read_record(lake, context.key("model"), as_of, TrainedVersion)
    model = registry.load(spec.name, version=trained.version)
    train, holdout = (read_part(lake, context, as_of, part) for part in ("train", "holdout"))
    label = spec.label.column
    naive = fit_baseline(
        train, label=label, by=spec.baseline.by, task=spec.task, metric=spec.promotion.metric, classes=model.classes
    )
    plain, classes = plain_model(train, holdout, context)
    plain = align_classes(plain, classes, model.classes) if classes else plain
    task = find_task(spec.task)
    outcome = task.outcomes(holdout[label], model.classes)
    scores = {"baseline": predict_baseline(naive, holdout), "sklearn": plain, "ml_assets": predict(model, holdout)}
    subjects = {name: task.pair(outcome, score, model.threshold) for name, score in scores.items()}
    metrics = task.measured_with(spec.extra_metrics)
    resampled = bootstrap(
        {name: subjects[name] for name in ("sklearn", "ml_assets")},
        resamples=spec.evaluation.resamples,
        seed=spec.seed,
        metrics=[spec.promotion.metric],
        blocks=time_blocks(holdout[spec.spine.time], spec.evaluation.block),
    )
    better = resampled.improvement("ml_assets", "sklearn", spec.promotion.metric, spec.evaluation.confidence)
    values = {name: measure(subject, metrics) for name, subject in subjects.items()}
    told = []
    for metric in metrics:
        one = {name: values[name][metric] for name in subjects}
        own = metric == spec.promotion.metric
        gain = find_metric(metric).sign * (one["ml_assets"] - one["sklearn"])
        ends = (better.low, better.high) if own else (float("nan"), float("nan"))
        told.append(
            Compared(
                f"{spec.name}",
                f"{metric}{' *' if own else ''}",
                **one,
                better_than_sklearn=gain,
                low=ends[0],
                high=ends[1],
            )
        )
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", help="home in which the use cases were run (default: ML_ASSETS_HOME or .ml_assets)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    home = Home.of(read_settings())
    if arguments.home:
        root = Path(arguments.home).absolute()
        home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")
    definitions, lake = load_current(), Lake(home.lake)
    registry = RegistryResource(tracking_uri=home.mlflow, artifacts=home.mlflow_artifacts).open()
    tree = definitions.component_tree
    spines = {one.name: one for one in tree.get_all_components(of_type=Spine)}
    views = {one.name: one for one in tree.get_all_components(of_type=FeatureView)}
    told: list[Compared] = []
    for model in declared_models(definitions).values():
        context = ModelContext.of(model, spines[model.spine], [views[name] for name in model.features], "")
        if lake.exists(context.key("model")):
            told += compare(context, lake, registry)
        else:
            sys.stderr.write(f"{model.name}: nothing trained in {home.root}\n")
    print(json.dumps([asdict(one) for one in told], indent=2) if arguments.json else table(told))  # noqa: T201
    return int(any(one.metric.endswith("*") and not beats_baseline(one) for one in told))


def beats_baseline(one: Compared) -> bool:
    return find_metric(one.metric.removesuffix(" *")).sign * (one.ml_assets - one.baseline) > 0


def table(told: list[Compared]) -> str:
    """Markdown."""
    lines = [
        "| model | metric | naive | HistGradientBoosting | ml_assets | better by | 95 % interval |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for one in told:
        interval = "" if np.isnan(one.low) else f"{one.low:+.4f} to {one.high:+.4f}"
        lines.append(
            f"| {one.model} | {one.metric} | {one.baseline:.4f} | {one.sklearn:.4f} | {one.ml_assets:.4f} "
            f"| {one.better_than_sklearn:+.4f} | {interval} |"
        )
    decides = "\\* what decides about promotion; the interval is that of the difference, by paired bootstrap"
    return "\n".join([*lines, "", decides])


if __name__ == "__main__":
    sys.exit(main())
