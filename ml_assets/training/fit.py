"""The final fit, and the model as it is stored: the library's own file plus what is needed to feed and read it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from ml_assets.training.calibration.intervals import Intervals, fit_intervals
from ml_assets.training.calibration.probabilities import Calibration, calibrate, fit_calibration
from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import DEFAULT_KIND, FitRequest, FitResult, ModelKind, find_kind
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.records.inputs import ModelInputs
from ml_assets.training.records.known_answers import KnownAnswers
from ml_assets.training.sampling.learned_rows import RowChoice
from ml_assets.training.sampling.negatives import prior_correction
from ml_assets.training.spec import IntervalSpec, TrainingSpec
from ml_assets.training.tasks import BINARY, find_task

ENCODING_FILE = "encoding.json"
RECORD_FILE = "model.json"


@dataclass(frozen=True)
class TrainedModel:
    """A fitted estimator and everything scoring needs.

    ``estimator`` is what its kind fitted, of boosted trees only those up to the best round; ``threshold`` is the
    probability from which an outcome is called positive, None unless the task is binary; ``best_iteration`` counts
    from 0; ``history`` is ``metric``, what early stopping watched, on the validation rows after each round.
    ``classes`` gives the order of a multiclass model's probabilities, as text; ``label_type`` is the Polars name of
    the label's type. ``negatives_kept`` is the share of the train part's negatives that it was fitted on, which
    ``calibration`` makes up for. ``known`` is what a registered version said about a few rows, ``inputs`` where its
    features, rows and label come from.
    """

    estimator: Any
    encoding: Encoding
    threshold: float | None
    best_iteration: int
    parameters: dict[str, Any]
    metric: str
    history: list[float]
    kind: str = DEFAULT_KIND
    task: str = BINARY
    classes: tuple[str, ...] | None = None
    label_type: str = "Boolean"
    calibration: Calibration | None = None
    intervals: Intervals | None = None
    negatives_kept: float = 1.0
    known: KnownAnswers | None = None
    inputs: ModelInputs | None = None

    @property
    def features(self) -> list[str]:
        """Feature columns a frame to be scored must have."""
        return self.encoding.names

    @property
    def columns(self) -> list[str]:
        """What the features are called where the estimator is asked through MLflow, in the order of ``features``."""
        return self.model_kind.columns(self.encoding)

    @property
    def calibrated(self) -> bool:
        """Whether a calibration was learned; making up for negatives that were left out is none."""
        return self.calibration is not None and self.calibration.method != "prior"

    @property
    def booster(self) -> Any:
        """The estimator of a model of boosted trees."""
        return self.estimator

    def raw_scores(self, matrix: np.ndarray) -> np.ndarray:
        """Score encoded rows before calibration: float64 of shape (rows,) or (rows, classes)."""
        return self.model_kind.predict(self.estimator, matrix, len(self.classes or ()))

    @property
    def model_kind(self) -> ModelKind:
        """The implementation of ``kind``, which fitted the estimator and can use it."""
        return find_kind(self.kind)


def fit_model(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    unseen: pl.DataFrame | None = None,
    *,
    features: Sequence[str],
    label: str,
    parameters: Mapping[str, Any],
    training: TrainingSpec,
    metric: str,
    seed: int,
    task: str = BINARY,
    kind: str = DEFAULT_KIND,
    calibration: Literal["isotonic", "sigmoid"] | None = None,
    intervals: IntervalSpec | None = None,
    payoff: Payoff | None = None,
    time: str | None = None,
    sampled: bool = False,
) -> TrainedModel:
    """Fit on ``train``; stop, calibrate, and choose the threshold on ``validation``; learn intervals from ``unseen``.
    Vocabularies and classes come from ``train`` alone.

    Where ``training`` leaves negatives out, probabilities are corrected to those of all rows: by the calibration where
    one is declared, which learns from validation rows that are all there, else by the share alone.

    Args:
        unseen: rows by which nothing of the model was chosen, neither its parameters nor its rounds; needed by
            intervals alone.
        features: columns to learn from, in the order the model keeps.
        label: column without nulls: boolean or 0/1, text or whole numbers, or a number, by task.
        parameters: parameters of the kind, such as those of a search.
        metric: what the search optimised; early stopping watches it, or what ``Task.stopping_metric`` says.
        calibration: isotonic or sigmoid; None leaves the probabilities as they are.
        payoff: what decisions bring; the threshold is the one that brings most.
        time: column with the prediction time, needed by ``training.half_life``.
        sampled: whether the spine declares a sample: then a row counts as all that it stands for.

    Raises:
        ValueError: a feature is missing or of a type a model cannot take, validation has a class that training
            has not, a weight or payoff is no number, the rows that count have labels of one class, the metric is
            undefined after every round, the kind takes no weights, or intervals have no rows to learn from.
    """
    if intervals is not None and (unseen is None or unseen.is_empty()):
        raise ValueError("intervals learn from rows that chose nothing of the model: give them as unseen")
    of, learner = find_task(task), find_kind(kind)
    classes, stopped_by = of.classes_of(train[label]), of.watched_while_searching(metric)
    choice = RowChoice(of, learner, training, label, time, stopped_by, seed, sampled)
    chosen = choice.choose(train, validation, classes)
    encoding = Encoding.learn(chosen.rows, features)
    request = FitRequest(kind, task, stopped_by, len(classes or ()), encoding, training, seed, chosen.weights)
    fitted, score = _fit_and_score(request, chosen.rows, validation, label, classes, parameters)
    outcome = of.outcomes(validation[label], classes)
    correction = _correction(calibration, chosen.kept, outcome, score)
    if correction is not None:
        score = calibrate(correction, score)
    model = TrainedModel(
        estimator=fitted.estimator,
        encoding=encoding,
        threshold=of.choose_threshold(outcome, score, None if payoff is None else payoff.of_rows(validation)),
        best_iteration=fitted.best_iteration,
        parameters=dict(parameters),
        metric=stopped_by,
        history=fitted.history,
        kind=kind,
        task=task,
        classes=classes,
        label_type=_type_name(train.schema[label]),
        calibration=correction,
        negatives_kept=chosen.kept,
    )
    if intervals is None or unseen is None:
        return model
    return replace(model, intervals=_learn_intervals(model, unseen, label, intervals))


def _fit_and_score(
    request: FitRequest,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    label: str,
    classes: Sequence[str] | None,
    parameters: Mapping[str, Any],
) -> tuple[FitResult, np.ndarray]:
    """Fit on the rows that were chosen, and score the validation rows before any correction."""
    of, learner = find_task(request.task), find_kind(request.kind)
    known = request.encoding.encode(validation)
    data = learner.bind(
        request,
        (request.encoding.encode(train), of.targets(train[label], classes)),
        (known, of.targets(validation[label], classes)),
    )
    fitted = learner.fit(request, data, parameters, request.training.max_rounds)
    if fitted.history and np.isnan(fitted.history).all():
        raise ValueError(
            f"{request.metric} is undefined on the validation rows after every round, so no round can be chosen: see"
            " that both labels and weights of these rows vary"
        )
    return fitted, learner.predict(fitted.estimator, known, request.classes)


def _correction(
    method: Literal["isotonic", "sigmoid"] | None, kept: float, outcome: np.ndarray, score: np.ndarray
) -> Calibration | None:
    """Return what makes probabilities of the validation rows' scores, by their outcomes where a method is declared;
    else by the share of the negatives that were kept; None where nothing is to be corrected."""
    if method is not None:
        return fit_calibration(method, outcome, score)
    return None if kept == 1 else prior_correction(kept)


def _learn_intervals(model: TrainedModel, unseen: pl.DataFrame, label: str, spec: IntervalSpec) -> Intervals:
    outcome = find_task(model.task).outcomes(unseen[label], model.classes)
    return fit_intervals(outcome, predict(model, unseen), coverage=spec.coverage, groups=spec.groups)


def predict(model: TrainedModel, frame: pl.DataFrame) -> np.ndarray:
    """Return scores in row order, float64: the probability of the positive class or the value, of shape (rows,), or the
    probabilities of ``model.classes``, of shape (rows, classes).

    Raises:
        ValueError: a feature is missing, has changed its kind, or is infinite.
    """
    if frame.is_empty():
        return np.empty((0, len(model.classes)) if model.classes else 0)
    return calibrated(model, model.raw_scores(model.encoding.encode(frame)))


def calibrated(model: TrainedModel, score: np.ndarray) -> np.ndarray:
    """Return the estimator's scores, corrected where the model is calibrated."""
    return score if model.calibration is None else calibrate(model.calibration, score)


def _type_name(dtype: pl.DataType) -> str:
    """Return the name of a type; a category counts as text, since the lake has no other form of it."""
    return "String" if dtype in (pl.Categorical, pl.Enum) else str(dtype)


def save_model(model: TrainedModel, directory: Path) -> None:
    """Write the estimator in its library's own format and the rest as JSON into a directory that exists."""
    model.model_kind.save(model.estimator, directory / model.model_kind.file_name)
    save_record(model, directory)


def save_record(model: TrainedModel, directory: Path) -> None:
    """Write all but the estimator: vocabularies, threshold, parameters, history, classes, calibration, intervals."""
    (directory / ENCODING_FILE).write_text(model.encoding.model_dump_json(indent=1))
    record = {
        "threshold": model.threshold,
        "best_iteration": model.best_iteration,
        "parameters": model.parameters,
        "metric": model.metric,
        "history": model.history,
        "kind": model.kind,
        "task": model.task,
        "scored_as": find_task(model.task).learned_as,
        "classes": model.classes,
        "label_type": model.label_type,
        "calibration": model.calibration and model.calibration.model_dump(),
        "intervals": model.intervals and model.intervals.model_dump(),
        "negatives_kept": model.negatives_kept,
    }
    (directory / RECORD_FILE).write_text(json.dumps(record, indent=1))


def load_model(directory: Path) -> TrainedModel:
    """Read what ``save_model`` wrote.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: estimator and encoding do not belong together.
    """
    _require(directory, RECORD_FILE, ENCODING_FILE)
    record = json.loads((directory / RECORD_FILE).read_text())
    kind = find_kind(record.get("kind", DEFAULT_KIND))
    _require(directory, kind.file_name)
    encoding = Encoding.model_validate_json((directory / ENCODING_FILE).read_text())
    for name, parsed in (("calibration", Calibration), ("intervals", Intervals)):
        record[name] = parsed.model_validate(record[name]) if record.get(name) else None
    record.pop("scored_as", None)  # for what scores without the tasks
    record["classes"] = tuple(record["classes"]) if record.get("classes") else None
    estimator = kind.load(directory / kind.file_name, encoding)
    return TrainedModel(
        estimator=estimator,
        encoding=encoding,
        known=KnownAnswers.read(directory),
        inputs=ModelInputs.read(directory),
        **record,
    )


def _require(directory: Path, *names: str) -> None:
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{directory} holds no complete model, it lacks {missing}: train and log it again")
