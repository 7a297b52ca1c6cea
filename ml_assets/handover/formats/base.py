"""A format in which a model is handed over to another tool."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml_assets.extensions import Extensions
from ml_assets.training.fit import TrainedModel
from ml_assets.training.kinds.base import ModelKind


@dataclass(frozen=True)
class HandoverCandidate:
    """A model version to hand over.

    Attributes:
        rows: holdout rows on which the package is tried.
        mlflow_files: the version's MLflow model directory.
    """

    name: str
    version: str
    model: TrainedModel
    rows: pl.DataFrame
    mlflow_files: Path


class HandoverUnsupported(ValueError):
    """A model that a format cannot take."""


class HandoverFormat(ABC):
    """A directory that another tool accepts as a model: subclass it and override `write` and `readme`.

    An installed package adds a format by an entry point of the group ``ml_assets.handover_formats``, whose name is what
    ``ml-assets package --format`` takes::

        [project.entry-points."ml_assets.handover_formats"]
        triton = "my_package.triton:TritonRepository"
    """

    @classmethod
    def takes(cls, kind: ModelKind) -> bool:  # noqa: ARG003
        """Return whether models of a kind can be written, as a rule; by default those of all."""
        return True

    @abstractmethod
    def write(self, candidate: HandoverCandidate, folder: Path) -> float:
        """Write the model into an empty folder, then score the holdout rows with what was written.

        Returns:
            The largest difference between a score of the package and the model's own.

        Raises:
            HandoverUnsupported: the format cannot take this model.
            ml_assets.handover.agreement.Disagreement: the package scores otherwise than the model.
        """

    @abstractmethod
    def readme(self, candidate: HandoverCandidate, difference: float) -> str:
        """Return the Markdown that explains how to use the package and how far it was tested."""


HANDOVER_FORMATS: Extensions[type[HandoverFormat]] = Extensions(
    "ml_assets.handover_formats",
    "hand-over format",
    {
        "bentoml": "ml_assets.handover.formats.bentoml:BentoMLService",
        "onnx": "ml_assets.handover.formats.onnx:OnnxDirectory",
        "mlflow-docker": "ml_assets.handover.formats.mlflow_docker:MLflowImage",
    },
    "ml_assets.handover.formats.base:HandoverFormat",
    takes_classes=True,
)
