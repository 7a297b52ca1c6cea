"""Tries and trainings as one list, and some of them compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.console.stores import Stores
from ml_assets.lake import Lake
from ml_assets.lake.records import RECORD
from ml_assets.modelling.evaluation import IMPORTANCE
from ml_assets.modelling.records import AS_OF, VERSION, TrainedVersion
from ml_assets.public.unknown import unknown_name
from ml_assets.training.records.tried import TRIES, MeasuredMetric, TriedModel, read_tries
from ml_assets.training.search.search import TunedParameters

TRY, TRAINING = "try", "training"
Parameter = str | bool | int | float | None


@dataclass(frozen=True)
class Experiment:
    """One try or training; what is not kept of it is None or empty.

    Attributes:
        id: what it is compared by.
        moment: of a training the moment that it looked from, of a try when it was made.
        seconds: of a training what its search took, of a try what all took.
        version: of a training, in the registry.
    """

    id: str
    model: str
    what: str
    moment: datetime
    version: str
    rows: int | None
    parameters: Mapping[str, Parameter]
    metrics: Mapping[str, MeasuredMetric]
    features: tuple[str, ...]
    seconds: float | None
    run_id: str


@dataclass(frozen=True)
class ComparedRow:
    """One parameter, metric or feature of the experiments that are compared, in their order."""

    name: str
    values: tuple
    differs: bool


@dataclass(frozen=True)
class ComparedExperiments:
    """Some experiments side by side."""

    experiments: tuple[Experiment, ...]
    parameters: tuple[ComparedRow, ...]
    metrics: tuple[ComparedRow, ...]
    features: tuple[ComparedRow, ...]
    shared_features: int


def list_experiments(stores: Stores, model: str = "") -> list[Experiment]:
    """Return the tries and trainings of all models, or of one: by model, the newest first."""
    named = [name for name in sorted(stores.project.models) if model in ("", name)]
    return [each for name in named for each in sorted(_of_model(stores, name), key=_newest_first)]


def compare(stores: Stores, ids: Sequence[str]) -> ComparedExperiments:
    """Return experiments side by side, in the order in which they are named.

    Raises:
        UnknownName: one of them is not there.
    """
    known = {each.id: each for name in stores.project.models for each in _of_model(stores, name)}
    for missing in (each for each in ids if each not in known):
        raise unknown_name("experiment", missing, list(known)[:5])
    chosen = tuple(known[each] for each in dict.fromkeys(ids))
    # Features of an experiment that keeps none are not known, which is no difference.
    features = [frozenset(each.features) if each.features else None for each in chosen]
    with_features = [names for names in features if names is not None]
    every = sorted(frozenset().union(*with_features))
    rows = [_compared(name, [None if names is None else name in names for names in features]) for name in every]
    return ComparedExperiments(
        experiments=chosen,
        parameters=_side_by_side([each.parameters for each in chosen]),
        metrics=_side_by_side([each.metrics for each in chosen]),
        features=tuple(row for row in rows if row.differs),
        shared_features=len(frozenset.intersection(*with_features)) if with_features else 0,
    )


def _of_model(stores: Stores, model: str) -> list[Experiment]:
    tables = [f"{model}/{table}" for table in (TRIES, "model", "tuned_parameters", "evaluation", "training_set")]

    def make() -> list[Experiment]:
        return [*_trainings(stores.lake, model), *(_tried(each) for each in read_tries(stores.lake, model))]

    return stores.read(("experiments", model), tables, make)


def _tried(tried: TriedModel) -> Experiment:
    return Experiment(
        id=f"{tried.model}-try-{tried.id}",
        model=tried.model,
        what=TRY,
        moment=tried.tried_at,
        version="",
        rows=tried.rows.get("train"),
        parameters=dict(tried.parameters),
        metrics=dict(tried.metrics),
        features=tried.features,
        seconds=tried.seconds,
        run_id="",
    )


def _trainings(lake: Lake, model: str) -> list[Experiment]:
    if not lake.exists(f"{model}/model"):
        return []
    records = lake.scan(f"{model}/model").select("record").collect()["record"]
    trained = [TrainedVersion.model_validate_json(text) for text in records]
    tuned = {as_of: TunedParameters.model_validate_json(text) for as_of, text in _tuned(lake, model)}
    measured = _measured(lake, model)
    return [_training(each, tuned.get(each.as_of), _own(measured, each)) for each in trained]


def _training(trained: TrainedVersion, tuned: TunedParameters | None, measured: pl.DataFrame) -> Experiment:
    metrics = {(row["subject"], row["metric"]): row for row in measured.iter_rows(named=True)}
    searched = {} if tuned is None else {**tuned.parameters, "search trials": tuned.trials}
    threshold = {} if trained.threshold is None else {"threshold": trained.threshold}
    return Experiment(
        id=f"{trained.model}-version-{trained.version}",
        model=trained.model,
        what=TRAINING,
        moment=datetime.fromisoformat(trained.as_of),
        version=trained.version,
        rows=None,
        parameters={**searched, "trees": trained.trees, **threshold},
        metrics={
            metric: MeasuredMetric(
                value=row["value"], low=row["low"], high=row["high"],
                baseline=metrics.get(("baseline", metric), {}).get("value"),
            )
            for (subject, metric), row in metrics.items()
            if subject == "model" and row["value"] is not None
        },
        features=tuple(sorted(metric for subject, metric in metrics if subject == IMPORTANCE)),
        seconds=None if tuned is None else tuned.seconds,
        run_id=trained.run_id,
    )  # fmt: skip


def _tuned(lake: Lake, model: str) -> list[tuple[str, str]]:
    key = f"{model}/tuned_parameters"
    return list(lake.scan(key).select(AS_OF, RECORD).collect().iter_rows()) if lake.exists(key) else []


def _measured(lake: Lake, model: str) -> pl.DataFrame:
    key = f"{model}/evaluation"
    if not lake.exists(key):
        return pl.DataFrame()
    rows = lake.scan(key)
    there = rows.collect_schema()
    wanted = [name for name in (AS_OF, VERSION, "subject", "metric", "value", "low", "high") if name in there]
    return rows.filter(pl.col("subject").is_in(["model", "baseline", IMPORTANCE])).select(wanted).collect()


def _own(measured: pl.DataFrame, trained: TrainedVersion) -> pl.DataFrame:
    """Return the measures of a version; in a table from before versions had a column, those of its training."""
    if not measured.width:
        return measured
    own = pl.col(AS_OF) == trained.as_of
    if VERSION in measured.columns:
        own = (pl.col(VERSION) == trained.version) | (pl.col(VERSION).is_null() & own)
    return measured.filter(own)


def _side_by_side(columns: Sequence[Mapping[str, object]]) -> tuple[ComparedRow, ...]:
    names = dict.fromkeys(name for column in columns for name in column)
    return tuple(_compared(name, [column.get(name) for column in columns]) for name in names)


def _compared(name: str, values: Sequence[object]) -> ComparedRow:
    return ComparedRow(name, tuple(values), any(value != values[0] for value in values))


def _newest_first(experiment: Experiment) -> float:
    return -experiment.moment.timestamp()
