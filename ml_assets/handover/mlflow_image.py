"""A model's MLflow directory, and the Dockerfile that MLflow writes for it."""

import logging
import shutil
from pathlib import Path

import numpy as np
import polars as pl

from ml_assets.handover.agreement import TOLERANCE, Disagreement
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.training.fit import TrainedModel
from ml_assets.training.tasks import find_task

MODEL_FOLDER = "model_dir/model"  # MLflow's Dockerfile copies from below model_dir


def write_mlflow_image(model: TrainedModel, rows: pl.DataFrame, source: Path, folder: Path) -> float:
    """Copy the MLflow model directory ``source``, let MLflow write the Dockerfile, and ask the copy.

    Returns:
        The largest difference between the model's scores before calibration and the copy's.

    Raises:
        Disagreement: the Dockerfile names another directory, or the copy says something else.
    """
    import_mlflow()
    from mlflow.models.flavor_backend_registry import get_flavor_backend

    staged = folder / "staged" / Path(MODEL_FOLDER).name
    shutil.copytree(source, staged)
    logging.getLogger("mlflow.models.flavor_backend_registry").setLevel(logging.WARNING)
    # What `mlflow models generate-dockerfile` does: a Python image, with the model's requirements installed into it.
    backend = get_flavor_backend(str(staged), docker_build=True, env_manager=None)
    backend.generate_dockerfile(str(staged), str(folder), install_mlflow=False)
    shutil.rmtree(staged.parent)
    copied = folder / MODEL_FOLDER
    if f"COPY {MODEL_FOLDER} " not in (folder / "Dockerfile").read_text() or not (copied / "MLmodel").is_file():
        raise Disagreement("MLflow's Dockerfile does not copy the model's directory")
    return _check(model, rows, copied)


def _check(model: TrainedModel, rows: pl.DataFrame, copied: Path) -> float:
    import pandas as pd

    encoded = model.encoding.encode(rows)
    own = model.library.predict(model.estimator, encoded, len(model.classes or ()))
    loaded = import_mlflow().pyfunc.load_model(str(copied))
    given = np.asarray(loaded.predict(pd.DataFrame(encoded, columns=model.columns)), dtype=np.float64)
    if given.ndim == 2 and own.ndim == 1 and find_task(model.task).has_positive:
        given = given[:, -1]  # scikit-learn gives both classes
    given = given.reshape(own.shape)
    if not np.allclose(given, own, rtol=TOLERANCE, atol=TOLERANCE):
        raise Disagreement(f"mlflow.pyfunc answers otherwise, by up to {np.abs(given - own).max():.3g}")
    return float(np.abs(given - own).max())
