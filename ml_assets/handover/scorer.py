"""The files by which a model answers rows of features without the platform."""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from ml_assets.training.fit import TrainedModel, save_model, save_record
from ml_assets.training.kinds.spaces import LIGHTGBM, SKLEARN, XGBOOST, library
from ml_assets.training.kinds.xgboost_onnx import to_onnx

BUNDLE = Path(__file__).parent / "bundle"
"""Files that are copied as they are; they import nothing of the platform."""

ESTIMATOR = "estimator.py"


def write_onnx_scorer(model: TrainedModel, folder: Path) -> list[str]:
    """Write model.onnx, what encodes and reads, and the code; returns the requirements.

    Raises:
        NotAsOnnx: the model's kind has no conversion.
    """
    (folder / "model.onnx").write_bytes(to_onnx(model))
    save_record(model, folder)
    _copy_code("onnx", folder)
    return _pinned("numpy", "onnxruntime")


def write_native_scorer(model: TrainedModel, folder: Path) -> list[str]:
    """The same with the library's own file, which is no pickle."""
    save_model(model, folder)
    _copy_code(library(model.kind), folder)
    return _NATIVE[library(model.kind)](model, folder)


def _copy_code(estimator: str, folder: Path) -> None:
    shutil.copyfile(BUNDLE / "score.py", folder / "score.py")
    shutil.copyfile(BUNDLE / f"estimator_{estimator}.py", folder / ESTIMATOR)


def _xgboost_needs(model: TrainedModel, folder: Path) -> list[str]:  # noqa: ARG001
    import xgboost

    # The package of the same library that brings nothing for a GPU.
    return [*_pinned("numpy"), f"xgboost-cpu=={xgboost.__version__}"]


def _lightgbm_needs(model: TrainedModel, folder: Path) -> list[str]:  # noqa: ARG001
    return _pinned("numpy", "lightgbm")


def _sklearn_needs(model: TrainedModel, folder: Path) -> list[str]:
    import json

    from ml_assets.training.kinds.sklearn import FILE, trusted_types

    (folder / "trusted.json").write_text(json.dumps(trusted_types(folder / FILE, model.kind)))
    own = model.kind.partition(":")[2].partition(".")[0]
    return _pinned("numpy", "scikit-learn", "skops", *([] if own == "sklearn" else [own]))


_NATIVE: dict[str, Callable[[TrainedModel, Path], list[str]]] = {
    XGBOOST: _xgboost_needs,
    LIGHTGBM: _lightgbm_needs,
    SKLEARN: _sklearn_needs,
}


def _pinned(*packages: str) -> list[str]:
    """At the version that the package was tried with."""
    return [f"{package}=={version(package)}" for package in packages]
