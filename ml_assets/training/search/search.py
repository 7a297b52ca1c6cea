"""Hyperparameter search that can be killed at any moment and goes on where it stood."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import DEFAULT_KIND, FitRequest, OnRound, find_kind
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.sampling.learned_rows import RowChoice
from ml_assets.training.sampling.weights import declared_weights, sample_weights, scaled
from ml_assets.training.search.objective import Objective, ValidationRows
from ml_assets.training.search.study_storage import open_storage
from ml_assets.training.spec import ParameterRange, SearchSpec, TrainingSpec
from ml_assets.training.tasks import BINARY, find_task

if TYPE_CHECKING:
    import optuna

OnTrial = Callable[[int, int, float], None]

_INDEX, _ROUNDS = "index", "best_rounds"
_RANDOM_TRIALS = 5  # before the sampler has seen enough to model
_REPORT_EVERY = 10  # rounds between two looks at whether a trial has fallen behind
_PRUNE_AFTER = 20  # rounds every trial may run: a small learning rate starts slowly


class TunedParameters(BaseModel):
    """The outcome of a search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str = Field(description="Name of the Optuna study: model name and fingerprint.")
    fingerprint: str = Field(description="SHA-256 of data, space and fixed settings; another one is another study.")
    parameters: dict[str, str | bool | int | float] = Field(description="Best parameters.")
    metric: str = Field(description="Metric that was optimised, on the validation rows.")
    best_value: float = Field(description="Its best value.")
    stopped_by: str | None = Field(default=None, description="What early stopping watched, where it is another metric.")
    best_rounds: int = Field(description="Boosting rounds of the best trial; 1 for what learns in none.")
    trials: int = Field(description="Trials finished or pruned, over all attempts.")
    pruned: int = Field(description="Of these, pruned.")
    seconds: float = Field(description="Time spent in these trials, over all attempts.")


def search_parameters(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    model: str,
    features: Sequence[str],
    label: str,
    search: SearchSpec,
    training: TrainingSpec,
    metric: str,
    seed: int,
    storage: str,
    on_trial: OnTrial | None = None,
    task: str = BINARY,
    kind: str = DEFAULT_KIND,
    time: str | None = None,
    payoff: Payoff | None = None,
    sampled: bool = False,
) -> TunedParameters:
    """Search with the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) and median pruning.

    Each trial fits on a seeded sample of ``train``, in which rare classes stay (see ``sampling.seeded``), and is scored
    on ``validation``. A trial enters the
    storage when it has ended, so one that a kill interrupts leaves nothing behind; its sampler is seeded
    by the trial's index, so a search that was interrupted, or run by two processes at once, tries what an
    undisturbed one tries.

    Args:
        model: prefix of the study's name.
        storage: SQLAlchemy URL of the Optuna storage, such as ``sqlite:////folder/optuna.db``.
        metric: what is optimised: one that early stopping watches, or any other that ``Task.stopping_metric`` has one
            for. Such a one is measured after each fit, decisions by the threshold that is best on ``validation``.
        time: column with the prediction time, needed by ``training.half_life``.
        payoff: what decisions bring; by it the threshold is chosen and value measured.
        sampled: whether the spine declares a sample: then a row counts as all that it stands for.
        on_trial: called after each trial with trials done, trials in total, best value so far.

    Raises:
        ValueError: a feature cannot be encoded, a weight is no number, no trial ran to its end, or the metric cannot be
            optimised or is undefined on ``validation``.
    """
    of, learner = find_task(task), find_kind(kind)
    classes, stopped_by = of.classes_of(train[label]), of.watched_while_searching(metric)
    choice = RowChoice(of, learner, training, label, time, stopped_by, seed, sampled)
    chosen = choice.choose(train, validation, classes, search.rows)
    encoding = Encoding.learn(chosen.rows, features)
    request = FitRequest(kind, task, stopped_by, len(classes or ()), encoding, training, seed, chosen.weights)
    rows = tuple((encoding.encode(part), of.targets(part[label], classes)) for part in (chosen.rows, validation))
    objective = Objective(metric, request)
    if stopped_by != metric:
        weights = scaled(declared_weights(validation, training, "validation"), sample_weights(validation, sampled))
        outcome = of.outcomes(validation[label], classes)
        measured = ValidationRows(validation, rows[1][0], outcome, weights, chosen.kept, payoff)
        objective = replace(objective, validation=measured)
    fingerprint = _fingerprint(objective, rows, search)
    study = _open_study(f"{model}-{fingerprint[:12]}", storage, objective)
    data = None
    while len(finished := finished_trials(study)) < search.trials:
        data = data or learner.bind(request, *rows)
        study.add_trial(_next_trial(finished, objective, data, search))
        if on_trial is not None:
            on_trial(len(finished) + 1, search.trials, study.best_value if _has_best(study) else float("nan"))
    return _result(study, fingerprint, objective)


def finished_trials(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Return the trials that ended, one per index, in order."""
    from optuna.trial import TrialState

    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    by_index = {trial.user_attrs[_INDEX]: trial for trial in ended}
    return [by_index[index] for index in sorted(by_index)]


def search_history(storage: str, study: str) -> pl.DataFrame:
    """Return one row per ended trial of a study.

    Columns: trial (from 0), state (complete or pruned), value (null if pruned), rounds, seconds, one per
    parameter, best_so_far.
    """
    import optuna

    loaded = optuna.load_study(study_name=study, storage=open_storage(storage))
    maximize = loaded.direction == optuna.study.StudyDirection.MAXIMIZE
    rows = [
        {
            "trial": trial.user_attrs[_INDEX],
            "state": trial.state.name.lower(),
            "value": trial.value if trial.state.name == "COMPLETE" else None,
            "rounds": trial.user_attrs.get(_ROUNDS),
            "seconds": _seconds(trial),
            **trial.params,
        }
        for trial in finished_trials(loaded)
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    best = pl.col("value").cum_max() if maximize else pl.col("value").cum_min()
    return frame.with_columns(pl.col("value").cast(pl.Float64)).with_columns(best.forward_fill().alias("best_so_far"))


def _fingerprint(objective: Objective, rows: tuple, search: SearchSpec) -> str:
    """Return the digest of a study, without the number of trials, so that more trials continue the same study."""
    request = objective.request
    declared = {
        "encoding": request.encoding.model_dump(),
        "search": search.model_dump(exclude={"trials"}),
        "training": _declared(request.training),
        "metric": objective.metric,
        "seed": request.seed,
    }
    if (request.kind, request.task) != (DEFAULT_KIND, BINARY):
        declared |= {"kind": request.kind, "task": request.task, "classes": request.classes}
    digest = hashlib.sha256(json.dumps(declared, sort_keys=True).encode())
    for matrix, label in rows:
        digest.update(np.ascontiguousarray(matrix).data)
        digest.update(np.ascontiguousarray(label).data)
    for weights in (request.weights.train, request.weights.validation):
        if weights is not None:
            digest.update(np.ascontiguousarray(weights).data)
    for part in objective.validation.digested() if objective.validation else ():
        digest.update(part)
    return digest.hexdigest()


def _declared(training: TrainingSpec) -> dict[str, Any]:
    """Return what a study depends on; what rows count for is left out where it is not declared, as it is in studies
    from before that could be."""
    optional = {name for name in ("weight", "half_life", "negatives", "monotone") if not getattr(training, name)}
    return training.model_dump(exclude={"max_rounds", "threads"} | optional)


def _open_study(name: str, storage: str, objective: Objective) -> "optuna.Study":
    import optuna

    return optuna.create_study(
        study_name=name, storage=open_storage(storage), direction=objective.direction, load_if_exists=True
    )


def _next_trial(finished: list, objective: Objective, data: Any, search: SearchSpec) -> "optuna.trial.FrozenTrial":
    """Run one trial in memory, given the ended ones."""
    import optuna

    index, request = len(finished), objective.request
    sampler_seed = int(np.random.SeedSequence([request.seed, index]).generate_state(1)[0])
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=_RANDOM_TRIALS, n_warmup_steps=_PRUNE_AFTER, interval_steps=_REPORT_EVERY
    )
    study = optuna.create_study(
        direction=objective.direction,
        sampler=optuna.samplers.TPESampler(n_startup_trials=_RANDOM_TRIALS, seed=sampler_seed),
        pruner=pruner if search.pruning else optuna.pruners.NopPruner(),
    )
    study.add_trials(finished)

    def run(trial: "optuna.Trial") -> float:
        trial.set_user_attr(_INDEX, index)
        parameters = {name: _suggest(trial, name, space) for name, space in search.space.items()}
        fitted = find_kind(request.kind).fit(request, data, parameters, search.max_rounds, _pruning(trial, objective))
        trial.set_user_attr(_ROUNDS, fitted.best_iteration + 1)
        return objective.value_of(fitted)

    study.optimize(run, n_trials=1)
    return study.trials[-1]


def _suggest(trial: "optuna.Trial", name: str, space: ParameterRange) -> Any:
    if space.choices is not None:
        return trial.suggest_categorical(name, space.choices)
    low, high = space.bounds
    if space.integer:
        return trial.suggest_int(name, int(low), int(high), log=space.log)
    return trial.suggest_float(name, low, high, log=space.log)


def _pruning(trial: "optuna.Trial", objective: Objective) -> OnRound:
    import optuna

    def look(rounds: int, value: float) -> None:
        if rounds % _REPORT_EVERY == 0:
            trial.report(objective.turned(value), rounds)
            if trial.should_prune():
                raise optuna.TrialPruned()

    return look


def _seconds(trial: "optuna.trial.FrozenTrial") -> float:
    return 0.0 if trial.duration is None else trial.duration.total_seconds()


def _has_best(study: "optuna.Study") -> bool:
    return any(trial.state.name == "COMPLETE" for trial in study.get_trials(deepcopy=False))


def _result(study: "optuna.Study", fingerprint: str, objective: Objective) -> TunedParameters:
    finished = finished_trials(study)
    if not _has_best(study):
        raise ValueError(
            f"all {len(finished)} trials of study {study.study_name} were pruned: set search.pruning: false"
        )
    best = study.best_trial
    return TunedParameters(
        study=study.study_name,
        fingerprint=fingerprint,
        parameters=best.params,
        metric=objective.metric,
        best_value=study.best_value,
        stopped_by=None if objective.validation is None else objective.request.metric,
        best_rounds=best.user_attrs[_ROUNDS],
        trials=len(finished),
        pruned=sum(trial.state.name == "PRUNED" for trial in finished),
        seconds=sum(map(_seconds, finished)),
    )
