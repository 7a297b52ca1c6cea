"""Two versions of a model side by side, from the records of their trainings."""

from dataclasses import dataclass, replace
from typing import Any

import orjson
import polars as pl

from ml_assets.console.dagster_storage import AssetRecords
from ml_assets.console.pages.feature.private import private_of_project
from ml_assets.console.pages.model.history import ModelVersion
from ml_assets.console.pages.model.read import history_of
from ml_assets.console.stores import Stores
from ml_assets.lake import Lake
from ml_assets.lake.records import RECORD
from ml_assets.modelling.evaluation import IMPORTANCE
from ml_assets.modelling.records import AS_OF, TrainedVersion, read_version
from ml_assets.public.unknown import unknown_name
from ml_assets.quality.private import masked

MODEL = "model"
"""Subject of the evaluation rows that hold the metrics of the model itself."""


@dataclass(frozen=True)
class WithInterval:
    """A value with the interval that its training measured."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SideBySide:
    """One line of a comparison; what a version has not is None."""

    name: str
    left: Any
    right: Any

    @property
    def differs(self) -> bool:
        return self.left != self.right


@dataclass(frozen=True)
class VersionRecords:
    """What is stored of one version."""

    parameters: dict[str, Any]
    metrics: dict[str, WithInterval]
    importance: dict[str, WithInterval]
    slices: dict[str, WithInterval]


@dataclass(frozen=True)
class ComparedVersions:
    """Two versions, or one where there is none to compare it with."""

    versions: list[ModelVersion]
    left: str | None
    right: str
    parameters: list[SideBySide]
    metrics: list[SideBySide]
    features: list[SideBySide]
    slices: list[SideBySide]


def compare_versions(stores: Stores, model: str, left: str | None, right: str | None) -> ComparedVersions:
    """Compare two versions of a model.

    Args:
        left: the one before `right`, unless named.
        right: the newest, unless named.

    Raises:
        UnknownName: no model, or no version of it, has this name.
    """
    versions = history_of(stores, model).versions
    names = [version.version for version in versions]
    for wanted in (left, right):
        if wanted is not None and wanted not in names:
            raise unknown_name(f"version of model {model}", wanted, names)
    if not names:
        raise unknown_name(f"version of model {model}", right or "1", names)
    chosen = right or names[0]
    earlier = names[names.index(chosen) + 1 :]
    before = left or (earlier[0] if earlier else None)
    tables = [f"{model}/{table}" for table in ("model", "evaluation", "tuned_parameters")]
    records = {
        name: stores.read(("version", model, name), tables, lambda name=name: read_records_of(stores.lake, model, name))
        for name in {chosen, *([before] if before else [])}
    }
    one = records[before] if before else None
    other = records[chosen]
    metric = stores.project.models[model].watched_metric
    return ComparedVersions(
        versions=versions,
        left=before,
        right=chosen,
        parameters=_beside(one and one.parameters, other.parameters),
        metrics=_beside(one and one.metrics, other.metrics, first=metric),
        features=sorted(_beside(one and one.importance, other.importance), key=_share, reverse=True),
        slices=_masked(_beside(one and one.slices, other.slices), _private_of(stores, model)),
    )


def read_records_of(lake: Lake, model: str, version: str) -> VersionRecords:
    """Read what is stored of a version: its parameters, and what it reached on its holdout rows."""
    trained = _trained(lake, model, version)
    if trained is None or not lake.exists(f"{model}/evaluation"):
        return VersionRecords({}, {}, {}, {})
    rows = read_version(lake, f"{model}/evaluation", trained)
    own = {subject: _values(part) for (subject,), part in rows.group_by("subject", maintain_order=True)}
    slices = {
        f"{subject} {metric}": value
        for subject, measured in own.items()
        if isinstance(subject, str) and "=" in subject
        for metric, value in measured.items()
    }
    return VersionRecords(
        parameters=_parameters(lake, model, trained),
        metrics=own.get(MODEL, {}),
        importance=own.get(IMPORTANCE, {}),
        slices=slices,
    )


def _private_of(stores: Stores, model: str) -> frozenset[str]:
    """Return the private columns of the rows to predict, also where the model's features cannot be read any more."""
    spine = stores.project.spines.get(stores.project.models[model].spine)
    return frozenset() if spine is None else private_of_project(stores.project, AssetRecords(stores.home))(spine.table)


def _masked(slices: list[SideBySide], private: frozenset[str]) -> list[SideBySide]:
    """Return the lines of slices with a number instead of each value of a private column."""
    subjects = [line.name.rpartition(" ")[0] for line in slices]
    hidden = masked(subject for subject in subjects if subject.partition("=")[0] in private)
    return [
        replace(line, name=f"{subject.partition('=')[0]}={hidden[subject]} {line.name.rpartition(' ')[2]}")
        if subject in hidden
        else line
        for subject, line in zip(subjects, slices, strict=True)
    ]


def _values(rows: pl.DataFrame) -> dict[str, WithInterval]:
    ends = [name if name in rows.columns else pl.lit(None, pl.Float64).alias(name) for name in ("low", "high")]
    found = rows.select("metric", "value", *ends)
    return {metric: WithInterval(value, low, high) for metric, value, low, high in found.iter_rows()}


def _trained(lake: Lake, model: str, version: str) -> TrainedVersion | None:
    key = f"{model}/model"
    if not lake.exists(key):
        return None
    rows = lake.scan(key).filter(pl.col("version") == version).select(RECORD).collect()
    return TrainedVersion.model_validate_json(rows.item()) if rows.height == 1 else None


def _parameters(lake: Lake, model: str, trained: TrainedVersion) -> dict[str, Any]:
    key = f"{model}/tuned_parameters"
    about: dict[str, Any] = {"trees": trained.trees, "threshold": trained.threshold, "run": trained.run_id}
    if not lake.exists(key):
        return about
    rows = lake.scan(key).filter(pl.col(AS_OF) == trained.as_of).select(RECORD).collect()
    tuned = orjson.loads(rows[RECORD][-1]).get("parameters", {}) if rows.height else {}
    return {**tuned, **about}


def _beside(left: dict[str, Any] | None, right: dict[str, Any], first: str = "") -> list[SideBySide]:
    named: set[str] = {*(left or {}), *right}
    names = sorted(named, key=lambda name: (name != first, name))
    return [SideBySide(name, (left or {}).get(name), right.get(name)) for name in names]


def _share(line: SideBySide) -> float:
    shares = [side.value for side in (line.left, line.right) if side is not None and side.value is not None]
    return max(shares, default=0.0)
