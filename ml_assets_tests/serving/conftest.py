"""A small model of each task, fitted once, and a registry that can be told another champion."""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.stores.opening import open_store
from ml_assets.serving.declared import Declarations, OnlineView, RequestField, ServedModel
from ml_assets.serving.spec import ServingSpec
from ml_assets.training.fit import fit_model
from ml_assets.training.spec import IntervalSpec, TrainingSpec
from ml_assets_tests.certificates import write_certificate
from ml_assets_tests.threads import ThreadedServer

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
        parcels(300, seed + 100),
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
        # Read anew as from its files: a booster that one thread sets up cannot be asked by another.
        return deepcopy(found)


@pytest.fixture
def registry(models, other):
    versions = {("late", "1"): models["late"], ("late", "2"): other, ("late", "3"): ValueError("files are broken")}
    versions |= {("hours", "1"): models["hours"], ("mood", "1"): models["mood"]}
    return Registered(versions, {"late": "1", "hours": "1", "mood": "1"})


@pytest.fixture(scope="session")
def rows():
    return parcels(40, seed=3).select(FEATURES)


ROUTE = FeatureViewSpec(
    name="route",
    description="How far the courier went last.",
    entity=["courier"],
    table="drives",
    known_at="driven_at",
    latest={"km": "length"},
)
ASKED = FeatureViewSpec(
    name="asked", description="What the request says.", request={"express": "express", "courier": "courier"}
)
FACT = [
    RequestField(name="courier", kind="text", dtype="String", nullable=False),
    RequestField(name="driven_at", kind="moment", dtype=str(pl.Datetime("us", "UTC")), nullable=False),
    RequestField(name="length", kind="number", dtype="Float64"),
]
FIELDS = [
    RequestField(name="parcel", kind="integer", dtype="Int32", nullable=False),
    RequestField(name="courier", kind="text", dtype="String", choices=["ann", "bob", "cleo"]),
    RequestField(name="express", kind="boolean", dtype="Boolean"),
]
NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)


def microseconds_at(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.fixture
def declared():
    """`late` is asked about parcels: how far the courier went last is looked up, and may be pushed."""
    late = ServedModel(name="late", key=["parcel"], time="asked_at", fields=FIELDS, views=[ROUTE, ASKED])
    return Declarations(models={"late": late}, online={"route": OnlineView(view=ROUTE, fields=FACT)})


@pytest.fixture
def tried(declared):
    """As `declared`, with the challenger in the shadow, and answering for a share of the parcels."""

    def with_serving(**serving):
        late = declared.models["late"].model_copy(update={"serving": ServingSpec(**serving)})
        return declared.model_copy(update={"models": {"late": late}})

    return with_serving


@pytest.fixture
def store(tmp_path):
    """Ann drove 10 km at eleven, bob 90; the values are served for a day from noon on."""
    made = open_store(f"sqlite:///{tmp_path}/online.db")
    drives = pl.LazyFrame(
        {"courier": ["ann", "bob"], "driven_at": [NOON - timedelta(hours=1)] * 2, "length": [10.0, 90.0]},
        schema_overrides={"driven_at": pl.Datetime("us", "UTC")},
    )
    build_view(made, ROUTE, drives, as_of=NOON, max_age=timedelta(days=1), build="first")
    yield made
    made.close()


@pytest.fixture
def noon():
    """Microseconds of the moment at which the store was built."""
    return microseconds_at(NOON)


@pytest.fixture
def run_server():
    """Run an app as a real server on a free port of this machine, until the test ends or `end` is called; gives its
    host and port."""
    running = []

    def run(app):
        running.append(ThreadedServer(app))
        return running[-1].address.removeprefix("http://")

    def end():
        for server in running:
            server.end()

    run.end = end
    yield run
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a key and a certificate for 127.0.0.1 that nobody but its holder trusts."""
    return write_certificate(tmp_path_factory.mktemp("certificate") / "server.pem")
