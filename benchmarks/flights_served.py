"""The flights' own model in a copy of a home that it was trained in, ready to be served about a day that is past.

What `serving.py` and `serving_soak.py` share: the copy, online features built as of a moment and the facts that
followed, rows to ask about, and the scores that batch gives them.
"""

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import polars as pl

from ml_assets.code_version import current_project
from ml_assets.commands.serving.served import declarations
from ml_assets.declarations.specs import DeclaredView
from ml_assets.durations import parse_duration
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.building.affected import CHANGE, MOST_CHANGED
from ml_assets.online.export import export_pushed, pushed_facts
from ml_assets.online.replayed import push_what_followed
from ml_assets.online.stores.opening import open_store
from ml_assets.public.opening import open_project, read_declared
from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import EXPERIMENT, Registry
from ml_assets.serving.declared import Declarations
from ml_assets.training.fit import TrainedModel, calibrated

USE_CASE, MODEL = "flights", "flight_delay"
SPINE, TIME, KEY = "flight_legs", "prediction_at", "flight_id"
PROJECT = Path(__file__).parents[1]
COPIED = ("aircraft", "departure_board", "flight_legs", "hourly_weather", f"{MODEL}/champion", f"{MODEL}/predictions")


@dataclass(frozen=True)
class Flights:
    """A home with the flights' champion and the tables that its features come from.

    Attributes:
        home: which `ML_ASSETS_HOME` names from here on.
    """

    home: Home

    @property
    def lake(self) -> Lake:
        """The tables."""
        return Lake(self.home.lake)

    @property
    def registry(self) -> Registry:
        """The versions of the model."""
        return Registry(self.home.mlflow, self.home.mlflow_artifacts or None, EXPERIMENT)

    @cached_property
    def project(self):
        """The project, as a notebook opens it."""
        return open_project(PROJECT)

    @cached_property
    def declared(self) -> Declarations:
        """What a server of the model is told."""
        return declarations(read_declared(current_project(PROJECT)), self.lake, [MODEL])

    @property
    def views(self) -> list[DeclaredView]:
        """The views of the model that are looked up."""
        return [view for view in self.project.views_behind(MODEL) if view.table is not None]

    @property
    def columns(self) -> list[str]:
        """What a request holds of a row."""
        return [field.name for field in self.declared.models[MODEL].fields]

    def build(self, as_of: datetime) -> None:
        """Build the online features of every view as of a moment, as the asset `online/<view>` does."""
        store = open_store(self.home.online_store)
        for view in self.views:
            _build(self.lake, store, view, as_of)
        store.close()

    def follow(self, until: datetime) -> None:
        """Push the facts between the builds and a moment, as `ml-assets online --facts-until` does."""
        store = open_store(self.home.online_store)
        for table in dict.fromkeys(view.table or "" for view in self.views):
            own = [view for view in self.views if view.table == table]
            push_what_followed(store, table, own, self.lake.scan(table), until)
        store.close()

    def rows(self, begin: datetime, end: datetime) -> pl.DataFrame:
        """Return the flights that batch predicts in (begin, end], with the moment and what a request holds of each."""
        within = pl.col(TIME).is_between(begin, end, closed="right")
        rows = self.lake.scan(SPINE).filter(within).sort(TIME, KEY)
        return rows.select(TIME, *self.columns).collect()

    def features(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Compute the model's features of rows by the engine, from what was known at the moment of each."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of drops that are not there yet: the rows are of days that are
            return self.project.features(MODEL, rows)

    def versions(self, numbers: Sequence[str]) -> Mapping[str, TrainedModel]:
        """Load versions by number."""
        return {number: self.registry.load(MODEL, version=number) for number in numbers}

    def register_half(self, rows: pl.DataFrame) -> str:
        """Register a second version, of the champion's first half of trees; returns its number.

        Args:
            rows: some with the model's features, whose scores a server tries it on.
        """
        registry = self.registry
        whole = registry.load(MODEL, alias="champion")
        half = replace(whole, estimator=whole.booster[: whole.booster.num_boosted_rounds() // 2])
        with registry.training_run("half", RunOrigin()) as run:
            logged = run.log_model(MODEL, half, rows)
        return registry.register(MODEL, logged).version


def batch_scores(model: TrainedModel, features: pl.DataFrame) -> list[float]:
    """Score features as batch does."""
    return calibrated(model, model.raw_scores(model.encoding.encode(features))).tolist()


def copy_home(lived: Path, root: Path) -> Flights:
    """Copy what serving needs of a home of `ml-assets run flights`, and work there from now on.

    Raises:
        SystemExit: the model was not trained there.
    """
    if not (lived / "lake" / MODEL / "champion").is_dir():
        raise SystemExit(f"{lived} holds no champion of {MODEL}: run `make run`, or name a home where it ran by --home")
    for table in COPIED:
        shutil.copytree(lived / "lake" / table, root / "lake" / table)
    shutil.copytree(lived / "mlflow", root / "mlflow")
    os.environ["ML_ASSETS_HOME"] = str(root)
    return Flights(Home.under(root))


def _build(lake: Lake, store, view: DeclaredView, as_of: datetime) -> None:
    table = view.table or ""
    version, seq = lake.version(table), export_pushed(store, lake, view)
    build_view(
        store,
        view,
        lake.scan(table, version),
        as_of=as_of,
        max_age=parse_duration(view.online.max_age),
        build=uuid4().hex[:12],
        pushed=pushed_facts(lake, view.name, seq),
        pushed_seq=seq,
        table_version=version,
        files_of=lambda of: lake.files(table, of),
        changed_since=lambda since: lake.changed_rows(table, since, version, change=CHANGE, most=MOST_CHANGED),
    )
