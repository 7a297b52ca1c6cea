"""A model's encoding and record, read from the files that training writes beside its estimator."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .answers import columns
from .curves import correct_all
from .rows import RowEncoder


class StoredFeature(NamedTuple):
    """How one feature becomes a float32; see `ml_assets.training.encoding` for what writes it."""

    name: str
    kind: str
    vocabulary: tuple[str, ...] = ()


class StoredCurve(NamedTuple):
    """A correction of one score; see `Correction`."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    slope: float
    intercept: float


class StoredIntervals(NamedTuple):
    """The ends of intervals; see `IntervalEnds`."""

    edges: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]


@dataclass(frozen=True)
class StoredModel:
    """All of a model but its estimator."""

    form: str
    features: tuple[StoredFeature, ...]
    threshold: float | None
    classes: tuple[str, ...] | None
    label_type: str
    curves: tuple[StoredCurve, ...]
    intervals: StoredIntervals | None

    @classmethod
    def read(cls, folder: Path) -> "StoredModel":
        """Read ``encoding.json`` and ``model.json``."""
        record = json.loads((folder / "model.json").read_text())
        features = json.loads((folder / "encoding.json").read_text())["features"]
        curves = (record["calibration"] or {}).get("curves", ())
        ends = record["intervals"]
        return cls(
            form=record.get("scored_as", record["task"]),
            features=tuple(StoredFeature(each["name"], each["kind"], tuple(each["vocabulary"])) for each in features),
            threshold=record["threshold"],
            classes=None if record["classes"] is None else tuple(record["classes"]),
            label_type=record["label_type"],
            curves=tuple(StoredCurve(each["x"], each["y"], each["slope"], each["intercept"]) for each in curves),
            intervals=None if ends is None else StoredIntervals(ends["edges"], ends["below"], ends["above"]),
        )

    def encoder(self) -> RowEncoder:
        """Return the encoder of rows for the estimator."""
        return RowEncoder(self.features)

    def answers(self, score: np.ndarray) -> list[dict[str, Any]]:
        """Return an object for each row of scores before calibration: score, prediction, and what the form adds."""
        if self.curves:
            score = correct_all(self.curves, score)
        by_name = {name: values.tolist() for name, values in columns(self.form, self, score).items()}
        return [dict(zip(by_name, row, strict=True)) for row in zip(*by_name.values(), strict=True)]
