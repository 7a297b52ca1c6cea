"""What learns, behind one interface: search, final fit, scoring, registry, server and hand-over know no library."""

# ruff: noqa: B027 - hooks that a kind overrides where it has something to do
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ml_assets.extensions import Extensions
from ml_assets.training.kinds.parameters import RESERVED_PARAMETERS, ParameterRange
from ml_assets.training.tasks import MULTICLASS, REGRESSION, find_task

if TYPE_CHECKING:
    import numpy as np

    from ml_assets.training.encoding import Encoding
    from ml_assets.training.spec import TrainingSpec

Examples = tuple["np.ndarray", "np.ndarray"]
"""Encoded features, float32 of shape (rows, features), and targets of shape (rows,)."""

OnRound = Callable[[int, float], None]
"""Receives the number of rounds done and the validation metric after each round; it ends the fit by raising."""

FewRowsScorer = Callable[["np.ndarray"], list]
"""Maps encoded rows to scores before calibration: a number for each row, or a list of one number per class."""

DEFAULT_KIND = "xgboost"

_DIRECTIONS = {"increasing": 1, "decreasing": -1}


class OnnxUnsupported(ValueError):
    """A model that cannot be written as ONNX."""


@dataclass(frozen=True)
class FitWeights:
    """How much rows count, float64 of shape (rows,): training rows in the fit, validation rows in the metric.

    None stands for rows that count alike.
    """

    train: "np.ndarray | None" = None
    validation: "np.ndarray | None" = None


@dataclass(frozen=True)
class FitRequest:
    """What is to be learned. ``classes`` is their number, 0 unless the task is multiclass."""

    kind: str
    task: str
    metric: str
    classes: int
    encoding: "Encoding"
    training: "TrainingSpec"
    seed: int
    weights: FitWeights = FitWeights()

    @property
    def learned_as(self) -> str:
        """The form of the task that libraries know: binary, multiclass or regression."""
        return find_task(self.task).learned_as

    @property
    def monotone(self) -> list[int]:
        """The direction of each feature, in their order: 1 increasing, -1 decreasing, 0 either.

        Raises:
            ValueError: a declared feature is none of the model's, or is a category.
        """
        declared = self.training.monotone
        able = {feature.name for feature in self.encoding.features if feature.kind != "category"}
        if strange := sorted(set(declared) - able):
            raise ValueError(
                f"training.monotone: {', '.join(strange)} is no numeric or boolean feature of the model, which has"
                f" {', '.join(sorted(able))}"
            )
        return [_DIRECTIONS.get(declared.get(name, ""), 0) for name in self.encoding.names]


@dataclass(frozen=True)
class FitResult:
    """A fitted estimator, cut back to its best round, and the validation metric after each round.

    ``best_iteration`` counts from 0. An estimator that does not learn in rounds has one round.
    """

    estimator: Any
    best_iteration: int
    history: list[float]

    @property
    def best_value(self) -> float:
        """The metric at the best round."""
        return self.history[self.best_iteration]


class ModelKind(ABC):
    """A library or family of estimators that can learn a declared model: subclass it and override what differs.

    An instance stands for one declared ``kind``: the name under which the class is registered, or that name, a colon
    and whatever the kind makes of the rest (see `accepts`). Instances hold no state of a fit and may be shared.

    The module of a kind imports its library inside of methods: loading the definitions imports every kind's module.

    An installed package adds a kind by an entry point of the group ``ml_assets.model_kinds`` whose name is `name`::

        [project.entry-points."ml_assets.model_kinds"]
        nearest = "my_package.nearest:NearestNeighbours"
    """

    name: ClassVar[str]
    """The declared kind, or what stands before its colon."""

    file_name: ClassVar[str]
    """Name of an estimator's file, as the library's MLflow flavour names it in the model's directory."""

    packages: ClassVar[Sequence[str]]
    """Distributions that an estimator needs beside NumPy to be loaded and to score."""

    scorer_module: ClassVar[str | None] = None
    """Module whose file scores without the platform, as in `ml_assets.training.kinds.scorers`: hand-over packages hold
    a copy of it. None for a kind that cannot be handed over in this form."""

    def __init__(self, declared: str) -> None:
        self.declared = declared

    # What can be declared

    @classmethod
    def accepts(cls, declared: str) -> bool:
        """Return whether a declared kind that begins with `name` is well formed."""
        return declared == cls.name

    @classmethod
    def usage(cls) -> str:
        """Describe what to declare, for the message about an unknown kind."""
        return cls.name

    @classmethod
    def check_installed(cls) -> None:
        """Raise `ml_assets.requirements.WrongVersion` if the installed library would give wrong results."""

    @classmethod
    def import_to_score(cls) -> None:
        """Import the library with what scoring needs of it; called once, by a process that does nothing else."""

    def check_task(self, task: str) -> None:
        """Raise ValueError if the kind cannot learn this task."""

    def check_parameters(self, names: Iterable[str]) -> None:
        """Raise ValueError if one of these parameters is not known; may import the library."""

    def reserved_parameters(self) -> dict[str, str]:
        """Return the parameters that cannot be declared, each with the field of the declaration that sets it."""
        return dict(RESERVED_PARAMETERS)

    @property
    def takes_weights(self) -> bool:
        """Whether `fit` heeds ``request.weights``; may import the library."""
        return False

    def check_weights(self) -> None:
        """Raise ValueError unless the kind learns from rows that count differently; may import the library."""
        if not self.takes_weights:
            raise ValueError(
                f"training.weight, training.half_life: a model of kind {self.declared} takes no weights of rows: leave"
                " them out, or choose another kind"
            )

    @property
    def monotone_parameter(self) -> str | None:
        """The library's parameter that `fit` sets to ``request.monotone``; None if the kind keeps no score monotone."""
        return None

    def check_monotone(self, task: str, metric: str) -> None:
        """Raise ValueError unless the kind keeps the score of such a model monotone in a feature."""
        if self.monotone_parameter is None:
            able = sorted(name for name, kind in MODEL_KINDS.loadable().items() if kind(name).monotone_parameter)
            raise ValueError(
                f"training.monotone: a model of kind {self.declared} cannot be kept monotone; {', '.join(able)} and"
                " scikit-learn's HistGradientBoosting can"
            )
        learned_as = find_task(task).learned_as
        if learned_as == MULTICLASS:
            raise ValueError("training.monotone: is for tasks with one score, not for the probabilities of classes")
        if learned_as == REGRESSION and metric != "rmse":
            raise ValueError(
                f"training.monotone: needs metric: rmse, not {metric}: trees for a median or a quantile set their"
                " leaves anew after each split, which breaks the order"
            )

    @abstractmethod
    def default_space(self) -> dict[str, ParameterRange]:
        """Return the search space of a declaration that has none; ValueError if it must be declared."""

    # Fit and score

    def bind(self, request: FitRequest, train: Examples, validation: Examples) -> Any:  # noqa: ARG002
        """Convert rows to the library's own form, once for any number of fits; by default they stay as they are."""
        return train, validation

    @abstractmethod
    def fit(
        self,
        request: FitRequest,
        data: Any,
        parameters: Mapping[str, Any],
        max_rounds: int,
        on_round: OnRound | None = None,
    ) -> FitResult:
        """Fit on the training rows of what `bind` returned, watching the metric on the validation rows.

        A kind that takes weights counts rows by ``request.weights``; one with a `monotone_parameter` keeps the score
        monotone as ``request.monotone`` says.
        """

    @abstractmethod
    def predict(self, estimator: Any, matrix: "np.ndarray", classes: int) -> "np.ndarray":
        """Score encoded rows: float64 of shape (rows,), or (rows, classes) where ``classes`` is not 0."""

    def contributions(self, estimator: Any, encoding: "Encoding", matrix: "np.ndarray") -> "np.ndarray | None":  # noqa: ARG002
        """Return SHAP values of shape (rows, features + 1) or (rows, classes, features + 1), or None.

        None, the default, makes the importance of features a permutation importance.
        """
        return None

    @property
    def has_contributions(self) -> bool:
        """Whether `contributions` returns SHAP values."""
        return type(self).contributions is not ModelKind.contributions

    def one_core(self) -> AbstractContextManager[Any]:
        """Return a context in which fits of the calling thread use one core, for fits side by side."""
        return nullcontext()

    # Files

    def columns(self, encoding: "Encoding") -> list[str]:
        """Return the names of the features where the estimator scores without its encoding, as in MLflow.

        They are the features' own names unless the library cannot take one of these.
        """
        return encoding.names

    @abstractmethod
    def save(self, estimator: Any, path: Path) -> None:
        """Write the estimator in the library's own format, without pickle."""

    @abstractmethod
    def load(self, path: Path, encoding: "Encoding") -> Any:
        """Read what `save` or MLflow wrote; ValueError if the estimator does not belong to the encoding."""

    @abstractmethod
    def save_mlflow(self, mlflow: Any, estimator: Any, directory: Path, *, probabilities: bool, **about: Any) -> None:
        """Write an MLflow model directory in the library's flavour, in which `file_name` is what `load` reads.

        A library without a flavour is written by ``mlflow.pyfunc.save_model`` with a ``loader_module``, and `save` puts
        the estimator's file beside it.

        Args:
            mlflow: the imported module.
            probabilities: whether the model predicts probabilities instead of a value.
            about: arguments of the flavour's ``save_model``: ``mlflow_model``, ``signature``, ``input_example``. Name
                ``pip_requirements`` too: MLflow would otherwise start a process that imports the model to infer them.
        """

    def requirements(self) -> list[str]:
        """Return the packages that an environment needs to load and score an estimator, at the installed versions."""
        return pinned("numpy", *self.packages)

    # Server and hand-over

    def use_one_thread(self, estimator: Any) -> None:
        """Let the estimator score with one thread from now on, because a server's requests run side by side."""

    def few_rows_scorer(self, estimator: Any) -> FewRowsScorer | None:  # noqa: ARG002
        """Return a function that scores a few rows faster than `predict` and to the same result, None if there is none.

        Raises:
            OnnxUnsupported: this estimator has none, although others of the kind have.
        """
        return None

    def to_onnx(self, estimator: Any) -> bytes:  # noqa: ARG002
        """Write the estimator as ONNX, from encoded rows to scores before calibration.

        The input is ``features``, float32 of shape (rows, features), NaN where there is no value; the output is
        ``scores``, float32 of shape (rows, 1) or (rows, classes).

        Raises:
            OnnxUnsupported: the kind, or this estimator, has no conversion.
        """
        able = [name for name, kind in MODEL_KINDS.loadable().items() if kind.to_onnx is not ModelKind.to_onnx]
        raise OnnxUnsupported(
            f"a model of kind {self.declared} cannot be written as ONNX: only {' and '.join(able)} can"
        )

    def write_scorer_files(self, folder: Path) -> None:
        """Write the files that `scorer_module` needs beside the one that `save` wrote into the folder of a hand-over
        package."""


MODEL_KINDS: Extensions[type[ModelKind]] = Extensions(
    "ml_assets.model_kinds",
    "model kind",
    {
        "xgboost": "ml_assets.training.kinds.xgboost:XGBoostKind",
        "lightgbm": "ml_assets.training.kinds.lightgbm:LightGBMKind",
        "sklearn": "ml_assets.training.kinds.sklearn:SklearnKind",
    },
    "ml_assets.training.kinds.base:ModelKind",
    takes_classes=True,
)


def find_kind(declared: str) -> ModelKind:
    """Return the model kind of a declaration.

    Raises:
        ValueError: no model kind has this name, or it does not accept what follows the colon.
    """
    name = declared.partition(":")[0]
    if name in MODEL_KINDS.names():
        return _instance(MODEL_KINDS.get(name), declared)
    raise ValueError(_unknown(declared))


def check_installed_kinds() -> None:
    """Raise `ml_assets.requirements.WrongVersion` if a built-in kind's library is absent or would give wrong results.

    That of another package is looked at when a declaration names its kind.
    """
    for name in MODEL_KINDS.built_in_names():
        MODEL_KINDS.get(name).check_installed()


@cache
def _instance(kind: type[ModelKind], declared: str) -> ModelKind:
    if not kind.accepts(declared):
        raise ValueError(_unknown(declared))
    kind.check_installed()
    return kind(declared)


def _unknown(declared: str) -> str:
    usages = sorted((kind.usage() for kind in MODEL_KINDS.loadable().values()), key=lambda usage: ":" in usage)
    return f"there is no kind {declared!r}: choose {', '.join(usages[:-1])}, or {usages[-1]}"


def pinned(*packages: str) -> list[str]:
    """Return a requirement for each distribution at its installed version."""
    return [f"{package}=={version(package)}" for package in packages]
