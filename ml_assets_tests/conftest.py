"""Small projects of a made-up shop, loaded as Dagster loads the real one, over a lake in a temporary folder."""

import gc
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from textwrap import dedent

import dagster as dg
import numpy as np
import polars as pl
import pytest
import yaml
from dagster._core.storage.event_log import in_memory as events_in_memory
from dagster._core.storage.runs import in_memory as runs_in_memory
from filelock import FileLock
from hypothesis import settings
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from ml_assets.addresses import sqlite_path, sqlite_url
from ml_assets.environment import prepare_libraries
from ml_assets.lake import Lake
from ml_assets.registry.registry import Registry
from ml_assets.registry.store import database
from ml_assets.resources import AsOf, LakeResource, OnlineStoreResource, RegistryResource, StudiesResource

prepare_libraries()

CONTRACTS = """
    import pandera.polars as pa
    import polars as pl

    from ml_assets.quality.rules import row_rule


    class Orders(pa.DataFrameModel):
        id: pl.Int64 = pa.Field(description="Number of the order")
        customer: pl.String = pa.Field(description="Who ordered")
        amount: pl.Float64 = pa.Field(ge=0, le=1000, nullable=True, description="Price in euro")
        placed_at: pl.Datetime("us", "UTC") = pa.Field(description="When it was placed")
        settled_at: pl.Datetime("us", "UTC") = pa.Field(nullable=True, description="When its outcome was known")
        returned: pl.Boolean = pa.Field(nullable=True, description="Whether it came back")

        @row_rule
        def settled_after_placed(cls):
            return pl.col("settled_at") >= pl.col("placed_at")


    class Customers(pa.DataFrameModel):
        customer: pl.String
        city: pl.String
"""


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    result: dg.ExecuteInProcessResult

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def materialized(self) -> list[str]:
        events = self.result.get_asset_materialization_events()
        return sorted({event.asset_key.to_user_string() for event in events})

    @property
    def errors(self) -> list[str]:
        """What each failed step raised: Dagster's own error has it as its cause."""
        failed = [event.step_failure_data.error for event in self.result.all_events if event.is_step_failure]
        return [error.cause.message.strip() for error in failed]

    def check(self, name: str) -> dg.AssetCheckEvaluation:
        """The one evaluation of a check, named as in the UI: `orders/validated:contract`."""
        found = self.result.get_asset_check_evaluations()
        (check,) = (c for c in found if f"{c.asset_key.to_user_string()}:{c.check_name}" == name)
        return check

    def metadata(self, key: str) -> dict:
        """What an asset told about itself; one that made several drops told the same of each."""
        events = self.result.get_asset_materialization_events()
        told = [event.materialization.metadata for event in events if event.asset_key.to_user_string() == key]
        return {name: value.value for name, value in told[-1].items()}


@dataclass(frozen=True)
class Project:
    """A loaded project with a home of its own.

    Attributes:
        trackers: names of trackers that follow its runs beside MLflow.
    """

    folder: Path
    trackers: tuple[str, ...] = ()

    @cached_property
    def tree(self) -> dg.ComponentTree:
        return dg.ComponentTree.for_project(self.folder)

    @cached_property
    def definitions(self) -> dg.Definitions:
        return self.tree.build_defs(self.tree.defs_module_path)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.ephemeral()

    @cached_property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "home/lake"))

    @property
    def online_store(self) -> str:
        return f"sqlite:///{self.folder}/home/online.db"

    @cached_property
    def registry(self) -> Registry:
        return Registry(f"sqlite:///{self.folder}/home/mlflow.db", str(self.folder / "home/artifacts"), "tests")

    def run(self, *keys: str, drops: Sequence[str] = (), as_of: str = "", by_condition: bool = False) -> Outcome:
        """Materialize assets, each named `a/b`, for consecutive drops, as people do or as a condition does."""
        resources = {
            "lake": LakeResource(root=self.lake.root),
            "registry": RegistryResource(
                tracking_uri=self.registry.tracking_uri,
                artifacts=self.registry.artifact_root,
                experiment="tests",
                trackers=list(self.trackers),
            ),
            "studies": StudiesResource(url=f"sqlite:///{self.folder}/home/studies.db"),
            "online_store": OnlineStoreResource(url=self.online_store),
            "as_of": AsOf(moment=as_of),
        }
        tags = {f"dagster/asset_partition_range_{at}": drops[i] for at, i in (("start", 0), ("end", -1)) if drops}
        tags |= {"dagster/from_automation_condition": "true"} if by_condition else {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ML_ASSETS_HOME", str(self.folder / "home"))
            return Outcome(
                dg.materialize(
                    list(self.definitions.assets),
                    selection=dg.AssetSelection.assets(*(key.split("/") for key in keys)),
                    resources=resources,
                    instance=self.instance,
                    tags=tags,
                    raise_on_error=False,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
            )


# How long an example takes is the machine's matter.
settings.register_profile("tests", settings(), deadline=None)
settings.load_profile("tests")
FAST_LANE, FAST_LANE_SHARE = "not slow", 4
SLOW_FILE = re.compile(r"^pytestmark = \[?pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In the fast lane a file whose every test is slow is not imported."""
    if config.option.markexpr != FAST_LANE or not collection_path.name.startswith("test_"):
        return None
    return True if SLOW_FILE.search(collection_path.read_text()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order what several workers share: the file that waits longest comes first, then those that take minutes, and last
    those that are short, so that no worker is left alone with a long one.

    Of the files that share a lived home one comes early, and makes it; the others come when none waits for it.
    In the fast lane, properties are looked at with a quarter of their examples; all of them are for the whole suite.
    """
    if config.option.markexpr == FAST_LANE:
        for test in {item.obj for item in items if hasattr(item.obj, "hypothesis")}:
            own = test._hypothesis_internal_use_settings
            fewer = max(1, own.max_examples // FAST_LANE_SHARE)
            test._hypothesis_internal_use_settings = settings(own, max_examples=fewer)
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    sharing = [item.path for item in items if "finished" in getattr(item, "fixturenames", ())]
    ranks = dict.fromkeys({item.path for item in items} - slow, 3) | dict.fromkeys(sharing, 2)
    ranks |= dict.fromkeys(sharing[:1], 0)
    ranks |= dict.fromkeys([item.path for item in items if item.path.parent.name == "live"][:1], -1)
    items.sort(key=lambda item: ranks.get(item.path, 1))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is collected lives to the end: nothing of it is looked through for garbage, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        gc.enable()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # what libraries hold is let go of at the end


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder of this run of the tests, the same in every worker."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def tracking_tables(shared_folder):
    """MLflow takes a second to create its tables: it does so once, and each new store of a test begins as a copy."""
    create, template = database.create_tables, shared_folder / "tracking.db"

    def copy(url: str, artifact_root: str) -> None:
        with FileLock(f"{template}.lock"):
            if not template.exists():
                create(sqlite_url(template), str(shared_folder))
        shutil.copyfile(template, sqlite_path(url))
        with closing(sqlite3.connect(sqlite_path(url))) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (f"{artifact_root}/0",))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_tables", copy)
        yield create


@pytest.fixture(scope="module")
def undrawn():
    """Figures stay blank: for tests of what a life does, where drawing would take a quarter of the time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    def blank(_, target, **options) -> None:  # noqa: ARG001
        Image.new("RGB", (1, 1)).save(target, "PNG")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasAgg, "draw", lambda canvas: canvas.get_renderer())
        patch.setattr(Figure, "savefig", blank)
        yield


def _engine_that_keeps_connections(url: str, **_) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", lambda opened, _: opened.execute("PRAGMA foreign_keys = ON").close())
    return engine


@contextmanager
def _connect_to_events(storage: events_in_memory.InMemoryEventLogStorage) -> Iterator[Connection]:
    with storage._db_lock, storage._engine.begin() as connection:
        yield connection


@contextmanager
def _connect_to_runs(storage: runs_in_memory.InMemoryRunStorage) -> Iterator[Connection]:
    with storage._engine.begin() as connection:
        yield connection


@pytest.fixture(scope="session", autouse=True)
def quick_dagster():
    """Spare Dagster three things that no test looks at, a third of the time of many.

    An instance in memory reads ninety migrations to note the newest, and opens and configures its database anew for
    each statement. And what `signal.signal` returns is made an enum by way of an error that shows the handler whole:
    asyncio's holds all that a tick of conditions evaluates.
    """
    to_enum = signal._int_to_enum
    with pytest.MonkeyPatch.context() as patch:
        for storage in (events_in_memory, runs_in_memory):
            patch.setattr(storage, "stamp_alembic_rev", lambda *_: None)
            patch.setattr(storage, "create_engine", _engine_that_keeps_connections)
        patch.setattr(events_in_memory.InMemoryEventLogStorage, "_connect", _connect_to_events)
        patch.setattr(runs_in_memory.InMemoryRunStorage, "connect", _connect_to_runs)
        patch.setattr(signal, "_int_to_enum", lambda value, kind: value if callable(value) else to_enum(value, kind))
        yield


@pytest.fixture(scope="session")
def unused_home(tmp_path_factory) -> Path:
    """A home in which nothing runs, shared by the tests that only load the shipped definitions: dbt parses once."""
    return tmp_path_factory.mktemp("unused_home")


@pytest.fixture(scope="session")
def make_project(tmp_path_factory):
    """Writes an importable project that declares `components`, YAML documents as dicts, under `defs/shop/`."""
    names = (f"made_up_shop_{number}" for number in count())
    with pytest.MonkeyPatch.context() as patch:

        def make(*components: dict) -> Project:
            name, folder = next(names), tmp_path_factory.mktemp("project")
            declared = folder / name / "defs" / "shop"
            declared.mkdir(parents=True)
            settings = f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{name}"\n'
            (folder / "pyproject.toml").write_text(settings)
            (folder / name / "__init__.py").touch()
            (folder / name / "contracts.py").write_text(dedent(CONTRACTS))
            text = yaml.safe_dump_all(components).replace("CONTRACTS", f"{name}.contracts")
            (declared / "defs.yaml").write_text(text)
            patch.syspath_prepend(folder)
            (folder / "home").mkdir()
            return Project(folder)

        yield make


MONTHS = {"grain": "monthly", "start": "2024-01", "end": "2024-07"}


class MadeUpOrders:
    """Orders that come back or not, delivered as one CSV file a month; and a project that predicts which do."""

    def of(self, month: str, a_day: int, slope: float = 0.1, seed: int = 0) -> pl.DataFrame:
        """Evenly through the month; with a slope above 0 dear ones come back; every outcome is known a day later."""
        start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
        rows = a_day * ((start + timedelta(days=31)).replace(day=1) - start).days
        random = np.random.default_rng([seed, int(month[-2:])])
        amount = random.uniform(0, 100, rows).round(2)
        placed = pl.Series([start + timedelta(days=1) * i / a_day for i in range(rows)])
        return pl.DataFrame(
            {
                "id": np.arange(rows) + 100_000 * int(month[-2:]),
                "customer": ["c"] * rows,
                "amount": amount,
                "placed_at": placed,
                "settled_at": placed + timedelta(days=1),
                "returned": random.random(rows) < 1 / (1 + np.exp(-(amount - 50) * slope)),
            }
        )

    def declared(self, delivered: Path, **model) -> list[dict]:
        """A source, a spine, a view and the model `returns`, quick to train; `model` adds to its declaration."""
        orders = {
            "name": "orders", "description": "Orders.", "where": {"path": str(delivered / "{partition}.csv")},
            "drops": MONTHS, "contract": "CONTRACTS:Orders", "key_columns": ["id"],
        }  # fmt: skip
        spine = {
            "name": "orders", "table": "orders/validated", "key": ["id"], "time": "placed_at", "partition": "_drop",
            "drops": MONTHS,
        }  # fmt: skip
        view = {
            "name": "order", "description": "Order.", "spine": "orders", "entity": ["id"],
            "request": {"price": "amount"},
        }  # fmt: skip
        returns = {
            "name": "returns", "description": "Returns.", "spine": "orders", "features": ["order"],
            "label": {"column": "returned", "known_at": "settled_at"},
            "search": {"trials": 1, "rows": 1000, "max_rounds": 10, "space": {"max_depth": {"choices": [2]}}},
            "training": {"max_rounds": 10, "threads": 1}, "evaluation": {"resamples": 100},
            "monitoring": {"min_chunk_rows": 50},
        }  # fmt: skip
        return [
            {"type": "ml_assets.Source", "attributes": orders},
            {"type": "ml_assets.Spine", "attributes": spine},
            {"type": "ml_assets.FeatureView", "attributes": view},
            {"type": "ml_assets.MLModel", "attributes": returns | model},
        ]


@pytest.fixture(scope="session")
def made_up_orders() -> MadeUpOrders:
    return MadeUpOrders()
