"""A trained model as an MLflow model directory in its library's own flavour, without pickles."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.training.fit import TrainedModel, predict, save_record
from ml_assets.training.records.known_answers import KnownAnswers, as_frame, plain_rows
from ml_assets.training.tasks import find_task

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_EXAMPLE_ROWS = 5


def write_model_files(
    model: TrainedModel, example: pl.DataFrame, directory: Path, *, model_id: str, run_id: str
) -> None:
    """Write estimator, encoding, threshold, signature and input example into a new directory.

    The signature and the example describe what the estimator takes: encoded features, float32. ``encoding.json`` tells
    how they come from the columns of a table; ``model.json`` holds the calibration and the intervals that follow;
    ``known_answers.json`` the example's rows as they are before encoding, with their scores; ``inputs.json`` where
    features, rows and label come from.

    Args:
        example: rows with the model's features; the first few are kept.

    Raises:
        ValueError: the model's kind writes the estimator where it would not be found again.
    """
    import pandas as pd

    mlflow = import_mlflow()

    encoded = model.encoding.encode(example.head(_EXAMPLE_ROWS))
    model.model_kind.save_mlflow(
        mlflow,
        model.estimator,
        directory,
        probabilities=find_task(model.task).calibratable,
        mlflow_model=mlflow.models.Model(model_id=model_id, run_id=run_id),
        signature=_signature(model),
        input_example=pd.DataFrame(encoded, columns=pd.Index(model.columns)),
    )
    if not (directory / model.model_kind.file_name).is_file():
        raise ValueError(
            f"kind {model.kind}: save_mlflow wrote no {model.model_kind.file_name} into the model's directory, "
            "where load would look for it"
        )
    save_record(model, directory)
    known_answers(model, example.head(_EXAMPLE_ROWS)).write(directory)
    if model.inputs is not None:
        model.inputs.write(directory)


def known_answers(model: TrainedModel, rows: pl.DataFrame) -> KnownAnswers:
    """Return rows with the model's features, and the scores that it gives them."""
    plain = plain_rows(rows, model.encoding)
    return KnownAnswers(rows=tuple(plain), scores=predict(model, as_frame(plain, model.encoding)).tolist())


def _signature(model: TrainedModel) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.float, name, required=False) for name in model.columns]
    if model.classes:
        outputs = Schema([TensorSpec(np.dtype(np.float64), (-1, len(model.classes)), "probabilities")])
    else:
        outputs = Schema([ColSpec(DataType.float, "score")])
    return ModelSignature(inputs=Schema(inputs), outputs=outputs)
