"""A model's MLflow directory, and the Dockerfile that MLflow writes for it."""

import logging
import shutil
from pathlib import Path

import numpy as np

from ml_assets.handover.agreement import TOLERANCE, Disagreement
from ml_assets.handover.formats.base import HandoverCandidate, HandoverFormat
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.training.tasks import find_task

MODEL_FOLDER = "model_dir/model"  # MLflow's Dockerfile copies from below model_dir

_README = """# {name}, version {version}, as MLflow serves it in a container

    docker build -t {name} . && docker run -p 8080:8080 {name}
    mlflow models serve -m {folder} --port 8080        # the same without a container

answers `/invocations`. What is scored are encoded rows, numbers only, in the order of `encoding.json`: a category is
its place in the vocabulary, a boolean 0 or 1. The answer is the score before calibration; `model.json` holds
threshold, classes, calibration and intervals. Both lie in `{folder}`.

{rows:,} holdout rows got the model's own scores from `mlflow.pyfunc`, to {difference:.2g}.
"""


class MLflowImage(HandoverFormat):
    """The version's MLflow model directory and the Dockerfile of its container."""

    def write(self, candidate: HandoverCandidate, folder: Path) -> float:
        """Copy the MLflow directory, let MLflow write the Dockerfile, and score the holdout rows with the copy.

        Returns:
            The largest difference between the model's scores before calibration and the copy's.

        Raises:
            Disagreement: the Dockerfile names another directory, or the copy scores otherwise.
        """
        _write_image(candidate.mlflow_files, folder)
        return _check(candidate, folder / MODEL_FOLDER)

    def readme(self, candidate: HandoverCandidate, difference: float) -> str:
        """Describe how the container is built and started."""
        return _README.format(
            name=candidate.name, version=candidate.version, folder=MODEL_FOLDER, rows=candidate.rows.height,
            difference=difference,
        )  # fmt: skip


def _write_image(source: Path, folder: Path) -> None:
    import_mlflow()
    from mlflow.models.flavor_backend_registry import get_flavor_backend

    staged = folder / "staged" / Path(MODEL_FOLDER).name
    shutil.copytree(source, staged)
    logging.getLogger("mlflow.models.flavor_backend_registry").setLevel(logging.WARNING)
    # What `mlflow models generate-dockerfile` does: a Python image, with the model's requirements installed into it.
    backend = get_flavor_backend(str(staged), docker_build=True, env_manager=None)
    backend.generate_dockerfile(str(staged), str(folder), install_mlflow=False)
    shutil.rmtree(staged.parent)
    if (
        f"COPY {MODEL_FOLDER} " not in (folder / "Dockerfile").read_text()
        or not (folder / MODEL_FOLDER / "MLmodel").is_file()
    ):
        raise Disagreement("MLflow's Dockerfile does not copy the model's directory")


def _check(candidate: HandoverCandidate, copied: Path) -> float:
    import pandas as pd

    model = candidate.model
    encoded = model.encoding.encode(candidate.rows)
    own = model.raw_scores(encoded)
    loaded = import_mlflow().pyfunc.load_model(str(copied))
    given = np.asarray(loaded.predict(pd.DataFrame(encoded, columns=pd.Index(model.columns))), dtype=np.float64)
    if given.ndim == 2 and own.ndim == 1 and find_task(model.task).has_positive:
        given = given[:, -1]  # scikit-learn gives both classes
    given = given.reshape(own.shape)
    if not np.allclose(given, own, rtol=TOLERANCE, atol=TOLERANCE):
        raise Disagreement(f"mlflow.pyfunc answers otherwise, by up to {np.abs(given - own).max():.3g}")
    return float(np.abs(given - own).max())
