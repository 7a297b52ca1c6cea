"""Search and fit: from a stored training set to a registered challenger."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import TrainedVersion, read_record
from ml_assets.modelling.training_set import read_part
from ml_assets.registry.records import CHALLENGER, RegisteredVersion, RunOrigin

if TYPE_CHECKING:
    import polars as pl

    from ml_assets.registry.registry import Registry
    from ml_assets.registry.trackers.training_run import TrainingRun
    from ml_assets.training.fit import TrainedModel
    from ml_assets.training.search.search import TunedParameters


def tune(
    lake: Lake, model: ModelContext, as_of: str, storage: str, on_trial: Callable[[int, int, float], None]
) -> "TunedParameters":
    """Search the best parameters on the validation rows.

    Args:
        storage: SQLAlchemy URL of the Optuna studies; an unfinished search goes on.
        on_trial: called after each trial with its number, the number of all and the best value so far.
    """
    from ml_assets.training.search.search import search_parameters

    spec = model.spec
    return search_parameters(
        read_part(lake, model, as_of, "train"),
        read_part(lake, model, as_of, "validation"),
        model=spec.name,
        features=model.features,
        label=spec.label.column,
        search=spec.search,
        training=spec.training,
        metric=spec.optimised_metric,
        seed=spec.seed,
        storage=storage,
        task=spec.task,
        kind=spec.kind,
        time=model.spine.time,
        payoff=spec.payoff,
        sampled=model.spine.sampled,
        on_trial=on_trial,
    )


def train_challenger(
    lake: Lake, registry: "Registry", model: ModelContext, as_of: str, origin: RunOrigin, studies: str
) -> tuple[TrainedVersion, int]:
    """Fit with the tuned parameters, log the run, register the version and make it the challenger.

    Args:
        studies: SQLAlchemy URL of the Optuna studies, whose trials trackers may keep.

    Returns:
        The version's record and the number of rows that it was trained on.
    """
    from ml_assets.registry.trackers.trials import search_trials
    from ml_assets.training.search.search import TunedParameters

    spec = model.spec
    tuned = read_record(lake, model.key("tuned_parameters"), as_of, TunedParameters)
    parts = {part: read_part(lake, model, as_of, part) for part in ("train", "validation", "calibration")}
    with registry.training_run(spec.name, origin, tags={"as_of": as_of}) as run:
        fitted = _fit(model, parts, tuned)
        run.log_trials(lambda: search_trials(studies, tuned.study))
        _log_fit(run, lake, model, fitted, parts)
        registered = _register(run, registry, model, fitted, as_of, parts)
    registry.set_alias(spec.name, CHALLENGER, registered.version)
    record = TrainedVersion(
        model=spec.name,
        version=registered.version,
        run_id=registered.run_id,
        as_of=as_of,
        training_set_version=lake.version(model.key("training_set")),
        trees=fitted.best_iteration + 1,
        threshold=fitted.threshold,
    )
    return record, parts["train"].height


def _fit(model: ModelContext, parts: "dict[str, pl.DataFrame]", tuned: "TunedParameters") -> "TrainedModel":
    from ml_assets.training.fit import fit_model

    spec = model.spec
    fitted = fit_model(
        parts["train"],
        parts["validation"],
        parts["calibration"],
        features=model.features,
        label=spec.label.column,
        parameters=tuned.parameters | spec.training.parameters,
        training=spec.training,
        metric=spec.optimised_metric,
        seed=spec.seed,
        task=spec.task,
        kind=spec.kind,
        calibration=spec.calibration,
        intervals=spec.intervals,
        payoff=spec.payoff,
        time=model.spine.time,
        sampled=model.spine.sampled,
    )
    return dataclasses.replace(fitted, inputs=model.inputs)


def _log_fit(
    run: "TrainingRun", lake: Lake, model: ModelContext, fitted: "TrainedModel", parts: "dict[str, pl.DataFrame]"
) -> None:
    correction = {"negatives_kept": fitted.negatives_kept} if fitted.negatives_kept < 1 else {}
    run.log_parameters(fitted.parameters | {"trees": fitted.best_iteration + 1} | correction)
    run.log_curve(f"validation_{fitted.metric}", fitted.history)
    key = model.key("training_set")
    for used_for, part in (("training", "train"), ("validation", "validation")):
        run.log_dataset(parts[part], name=key, table=key, version=lake.version(key), used_for=used_for)


def _register(
    run: "TrainingRun",
    registry: "Registry",
    model: ModelContext,
    fitted: "TrainedModel",
    as_of: str,
    parts: "dict[str, pl.DataFrame]",
) -> RegisteredVersion:
    from ml_assets.training.sampling.negatives import describe_correction
    from ml_assets.training.sampling.weights import describe_sample, thinned_rows

    spec, train, validation = model.spec, parts["train"], parts["validation"]
    logged = run.log_model(spec.name, fitted, train.head(5))
    text = f"Trained as of {as_of[:10]} on {train.height:,} rows, stopped on {validation.height:,}."
    tags = {"as_of": as_of, "task": spec.task, "kind": spec.kind, "metric": spec.optimised_metric}
    if fitted.metric != spec.optimised_metric:
        text += f" Parameters were chosen by {spec.optimised_metric}, rounds by {fitted.metric}."
    if fitted.negatives_kept < 1:
        text += f" {describe_correction(fitted.negatives_kept)}"
        tags["negatives_kept"] = f"{fitted.negatives_kept:.6g}"
    thinned = thinned_rows(train, model.spine.sampled)
    if not thinned.is_empty():
        text += f" {describe_sample(thinned)}"
        tags["sampled_rows"] = f"{thinned.height}"
    run.describe(f"{spec.description} {text}")
    return registry.register(
        spec.name,
        logged,
        description=text,
        tags=tags,
        about=spec.description,
    )
