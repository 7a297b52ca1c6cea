"""A trained model as an MLflow model directory in XGBoost's own flavour."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml_assets.registry.quiet_mlflow import import_mlflow
from ml_assets.training.fit import TrainedModel, save_record

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_EXAMPLE_ROWS = 5


def write_model_files(
    model: TrainedModel, example: pl.DataFrame, directory: Path, *, model_id: str, run_id: str
) -> None:
    """Write UBJSON booster, encoding, threshold, signature and input example into a new directory.

    The signature and the example describe what the booster takes: encoded features, float32. ``encoding.json`` tells
    how they come from the columns of a table.

    Args:
        example: rows with the model's features; the first few are kept.
    """
    import pandas as pd
    import xgboost

    mlflow = import_mlflow()

    encoded = model.encoding.encode(example.head(_EXAMPLE_ROWS))
    mlflow.xgboost.save_model(
        model.booster,
        str(directory),
        mlflow_model=mlflow.models.Model(model_id=model_id, run_id=run_id),
        signature=_signature(model),
        input_example=pd.DataFrame(encoded, columns=model.features),
        # Left to itself MLflow starts a Python process that imports the model, to find out what it needs.
        pip_requirements=[f"xgboost=={xgboost.__version__}", f"numpy=={np.__version__}"],
    )
    save_record(model, directory)


def _signature(model: TrainedModel) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    inputs = [ColSpec(DataType.float, name, required=False) for name in model.features]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.float, "score")]))
