"""The kind: everything that search, fit, registry, server and hand-over need of it."""

import tempfile
from pathlib import Path

import numpy as np

from ml_assets.training.kinds.base import FitResult, ModelKind
from ml_assets.training.kinds.parameters import ParameterRange
from ml_assets.training.metrics.measure import measure
from ml_assets.training.tasks import find_task
from nearest_kind import scorer


class NearestNeighbours(ModelKind):
    """The mean label of the nearest training rows."""

    name = "nearest"
    file_name = "model.npz"
    packages = ()
    scorer_module = scorer.__name__

    def check_task(self, task):
        if task != "binary":
            raise ValueError(f"{self.declared} does not fit the task {task}")

    def reserved_parameters(self):
        return super().reserved_parameters() | {"metric": "metric"}

    def default_space(self):
        return {"neighbours": ParameterRange(low=5, high=25, integer=True)}

    def fit(self, request, data, parameters, max_rounds, on_round=None):  # noqa: ARG002 - there is one round
        (features, target), (known, outcome) = data
        kept = {"features": np.nan_to_num(features.astype(np.float64)), "target": target.astype(np.float64)}
        estimator = kept | {"neighbours": np.int64(parameters.get("neighbours", 15))}
        paired = find_task(request.task).pair(outcome, self.predict(estimator, known, request.classes))
        return FitResult(estimator, 0, [measure(paired, [request.metric])[request.metric]])

    def predict(self, estimator, matrix, classes):
        return scorer.predict(estimator, matrix, classes)

    def save(self, estimator, path):
        np.savez(path, **estimator)

    def load(self, path, encoding):
        estimator = scorer.read(path)
        if estimator["features"].shape[1] != len(encoding.names):
            raise ValueError(f"{path.parent}: the estimator's features differ from those of encoding.json")
        return estimator

    def save_mlflow(self, mlflow, estimator, directory, *, probabilities, **about):  # noqa: ARG002 - they are
        with tempfile.TemporaryDirectory() as folder:
            self.save(estimator, Path(folder, self.file_name))
            mlflow.pyfunc.save_model(
                str(directory), loader_module="nearest_kind.flavour", data_path=str(Path(folder, self.file_name)),
                pip_requirements=self.requirements(), **about,
            )  # fmt: skip
        self.save(estimator, directory / self.file_name)
