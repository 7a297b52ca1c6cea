"""A small model of each task, fitted once, and a registry that can be told another champion."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from ml_assets.training.fit import fit_model
from ml_assets.training.spec import IntervalSpec, TrainingSpec

FEATURES = ["km", "express", "courier"]


def parcels(rows: int, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    km, courier = random.uniform(0, 100, rows), random.integers(0, 3, rows)
    hours = 5 + km * np.array([0.1, 0.2, 0.4])[courier] + random.normal(0, 2, rows)
    return pl.DataFrame(
        {
            "km": pl.Series(km).set(pl.Series(random.random(rows) < 0.05), None),
            "express": random.random(rows) < 0.3,
            "courier": pl.Series(np.array(["ann", "bob", "cleo"])[courier]),
            "hours": hours,
            "late": hours > 20,
            "mood": pl.Series(np.where(hours < 12, "glad", np.where(hours < 24, "calm", "cross"))),
        }
    )


def fitted(label: str, task: str, seed: int = 0, **more):
    rows = parcels(900, seed)
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "mae"}[task]
    return fit_model(
        rows.head(600),
        rows.tail(300),
        features=FEATURES,
        label=label,
        parameters={"max_depth": 3},
        training=TrainingSpec(max_rounds=20, threads=1),
        metric=metric,
        seed=seed,
        task=task,
        **more,
    )


@pytest.fixture(scope="session")
def models():
    return {
        "late": fitted("late", "binary", calibration="sigmoid"),
        "hours": fitted("hours", "regression", intervals=IntervalSpec(coverage=0.8, groups=1)),
        "mood": fitted("mood", "multiclass", calibration="isotonic"),
    }


@pytest.fixture(scope="session")
def other():
    """A second version of `late`."""
    return fitted("late", "binary", seed=7)


@dataclass
class Registered:
    """Stands for the registry: versions of models, and which one is the champion."""

    versions: dict
    champions: dict = field(default_factory=dict)
    challengers: dict = field(default_factory=dict)

    def champion(self, name):
        version = self.champions.get(name)
        return None if version is None else type("Version", (), {"version": version})

    def challenger(self, name):
        version = self.challengers.get(name)
        return None if version is None else type("Version", (), {"version": version})

    def load(self, name, *, version):
        found = self.versions[name, version]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def registry(models, other):
    versions = {("late", "1"): models["late"], ("late", "2"): other, ("late", "3"): ValueError("files are broken")}
    versions |= {("hours", "1"): models["hours"], ("mood", "1"): models["mood"]}
    return Registered(versions, {"late": "1", "hours": "1", "mood": "1"})


@pytest.fixture(scope="session")
def rows():
    return parcels(40, seed=3).select(FEATURES)
