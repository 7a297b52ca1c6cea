"""A version of a model in the form that another tool takes, tried on the model's own holdout rows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from ml_assets.handover.agreement import Disagreement, check_answers
from ml_assets.handover.directory import whole_directory
from ml_assets.handover.mlflow_image import MODEL_FOLDER, write_mlflow_image
from ml_assets.handover.readme import render_readme
from ml_assets.handover.scorer import BUNDLE, write_native_scorer, write_onnx_scorer
from ml_assets.training.fit import TrainedModel
from ml_assets.training.kinds.xgboost_onnx import NotAsOnnx

Form = Literal["bentoml", "onnx", "mlflow-docker"]
FORMS: tuple[Form, ...] = get_args(Form)

_BENTOFILE = """service: "service:Model"
description: "{name}, version {version}"
include: [{include}]
python:
  requirements_txt: "requirements.txt"
  lock_packages: false  # they are pinned
"""
_BENTOML = "bentoml>=1.4.39,<1.5"


@dataclass(frozen=True)
class HandoverCandidate:
    """What is to be handed over. ``rows`` are holdout rows, ``mlflow_files`` the directory that MLflow keeps."""

    name: str
    version: str
    model: TrainedModel
    rows: pl.DataFrame
    mlflow_files: Path


@dataclass(frozen=True)
class Packaged:
    """What was written: how many holdout rows were tried, and the largest difference of a score."""

    output: str
    model: str
    version: str
    format: str
    rows: int
    difference: float


def package_model(candidate: HandoverCandidate, form: str, output: Path) -> Packaged:
    """Write a directory that the named tool accepts; it appears whole, after it has answered as the model does.

    Raises:
        ValueError: there is no such form, no holdout row, something at ``output``, the model's kind has no
            conversion, or the package answers otherwise.
    """
    if form not in FORMS:
        raise ValueError(f"format {form}: must be one of {', '.join(FORMS)}")
    named = f"version {candidate.version} of {candidate.name}"
    if candidate.rows.is_empty():
        raise ValueError(f"{named} has no holdout rows in the lake to try the package on: evaluate it first")
    try:
        with whole_directory(output) as folder:
            difference = _WRITERS[form](candidate, folder)
            about = render_readme(
                form, candidate.model, candidate.name, candidate.version, rows=candidate.rows.height,
                difference=difference, folder=MODEL_FOLDER,
            )  # fmt: skip
            (folder / "README.md").write_text(about, encoding="utf-8")
    except NotAsOnnx as error:
        raise ValueError(f"{named}: {error}; bentoml and mlflow-docker take every kind") from error
    except Disagreement as error:
        raise ValueError(f"{named} is not handed over as {form}: {error}") from error
    return Packaged(
        str(output), candidate.name, candidate.version, form, rows=candidate.rows.height, difference=difference
    )


def _write_onnx(candidate: HandoverCandidate, folder: Path) -> float:
    needed = write_onnx_scorer(candidate.model, folder)
    (folder / "requirements.txt").write_text("\n".join([*needed, ""]))
    return check_answers(candidate.model, candidate.rows, folder)


def _write_bentoml(candidate: HandoverCandidate, folder: Path) -> float:
    needed = write_native_scorer(candidate.model, folder)
    (folder / "requirements.txt").write_text("\n".join([_BENTOML, *needed, ""]))
    (folder / "name.txt").write_text(f"{candidate.name}\n")
    (folder / "service.py").write_bytes((BUNDLE / "service.py").read_bytes())
    include = ", ".join(f'"{file.name}"' for file in sorted(folder.iterdir()))
    bentofile = _BENTOFILE.format(name=candidate.name, version=candidate.version, include=include)
    (folder / "bentofile.yaml").write_text(bentofile)
    return check_answers(candidate.model, candidate.rows, folder)


def _write_mlflow(candidate: HandoverCandidate, folder: Path) -> float:
    return write_mlflow_image(candidate.model, candidate.rows, candidate.mlflow_files, folder)


_WRITERS: dict[str, Callable[[HandoverCandidate, Path], float]] = {
    "onnx": _write_onnx,
    "bentoml": _write_bentoml,
    "mlflow-docker": _write_mlflow,
}
