"""The real daemon over a made-up shop: files are dropped into a folder, and all the rest happens by itself."""

import os
import shutil
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from ml_assets.automation.run_tags import DECISION
from ml_assets.automation.sensors.drops import SOURCES
from ml_assets.code_version import PACKAGE
from ml_assets.commands.lifecycle.main_job import MainJob
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.project import load_current
from ml_assets.registry.registry import Registry
from ml_assets.retraining.decide import read_decisions
from ml_assets.settings import read_settings
from ml_assets_tests import processes

pytestmark = pytest.mark.slow

HISTORY, DRIFTED, CALM = ["2024-01", "2024-02", "2024-03"], "2024-04", "2024-05"
PATIENCE = 300  # seconds, for what takes about 60 on a quiet machine
ORDERS_A_DAY = 120
SETTINGS = {"ML_ASSETS_SENSOR_SECONDS": "2"}
WORKSPACE = """
load_from:
  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: shop}}
"""


MODEL = {
    "split": {"train": "9d", "validation": "7d", "holdout": "7d", "gap": "2d"},
    "promotion": {"resamples": 100},
    "retraining": {"evidence": ["realised"], "min_new_labels": 100, "resamples": 100, "retry_after": "5s"},
}


@dataclass
class LiveShop:
    """A shop with a first champion, and the daemon that watches it."""

    folder: Path
    delivered: Path
    home: Home
    made_up: object
    instance: dg.DagsterInstance | None = None
    started: list[processes.Started] = field(default_factory=list)

    @property
    def registry(self) -> Registry:
        return Registry(self.home.mlflow, self.home.mlflow_artifacts, "ml_assets")

    def orders(self, month: str) -> pl.DataFrame:
        """Until March dear orders come back, from April on cheap ones do."""
        return self.made_up.of(month, ORDERS_A_DAY, slope=0.1 if month < DRIFTED else -0.1)

    def deliver(self, month: str) -> None:
        unplaced = self.delivered / "unplaced"
        self.orders(month).write_csv(unplaced)
        unplaced.replace(self.delivered / f"{month}.csv")

    def start(self) -> None:
        """Start the daemon, and the code server that it asks."""
        own = {"ML_ASSETS_HOME": self.home.root, "DAGSTER_HOME": self.home.dagster, "PYTHONPATH": self.folder}
        environment = processes.inherited() | own | SETTINGS
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        workspace = self.home.root / "workspace.yaml"
        workspace.write_text(WORKSPACE.format(port=port))
        for program, *arguments in (
            ["dagster", "api", "grpc", "-f", "definitions.py", "-h", "127.0.0.1", "-p", port],
            ["dagster-daemon", "run", "-w", workspace],
        ):
            output = self.home.root / program
            output.mkdir(exist_ok=True)
            process = processes.start(program, *arguments, cwd=self.folder, environment=environment, output=output)
            self.started.append(process)

    def kill(self) -> None:
        """Kill the daemon, the code server and the runs that it has started."""
        for process in self.started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
        self.started.clear()

    def decisions(self):
        return {one.drop: one for one in read_decisions(Lake(self.home.lake), "returns")}

    def champion(self) -> str:
        return self.registry.champion("returns").version

    def runs(self, **filters) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs(dg.RunsFilter(**filters)))

    def kinds_going_on(self) -> set[str]:
        """Of the runs whose process is at work: "ingest", "follow" or "train"."""
        named = {SOURCES: "ingest", DECISION: "train"}
        started = self.runs(statuses=[dg.DagsterRunStatus.STARTED])
        return {next((named[tag] for tag in named if tag in run.tags), "follow") for run in started}

    def wait_until(self, holds, what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert all(process.poll() is None for process in self.started), self.told()
            assert time.monotonic() < until, f"{what}: not seen\n{self.told()}"
            time.sleep(1)

    def told(self) -> str:
        runs = [f"{run.job_name} {run.status} {run.tags}" for run in self.runs()]
        return "\n".join([*runs, *(process.stderr[-3000:] for process in self.started)])


@pytest.fixture(scope="module")
def lived(make_project, made_up_orders, tmp_path_factory):
    """The shop on the day after its first training, and a copy of its home as it is then."""
    delivered, root = tmp_path_factory.mktemp("delivered"), tmp_path_factory.mktemp("live") / "home"
    folder = make_project(*made_up_orders.declared(delivered, **MODEL)).folder
    (folder / "definitions.py").write_text((PACKAGE / "definitions.py").read_text())
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("ML_ASSETS", "DAGSTER"))]:
            patch.delenv(name)
        for name in ("ML_ASSETS_HOME", "DAGSTER_HOME"):
            patch.setenv(name, str(root))
        home = Home.of(read_settings())
        home.prepare()
        patch.chdir(folder)
        load_current.cache_clear()
        shop = LiveShop(folder, delivered, home, made_up_orders)
        for month in HISTORY:
            shop.deliver(month)
        MainJob(home, "shop").live("2024-04-01", as_json=True)
        assert shop.champion() == "1"
        shutil.copytree(root, root.with_name("first"))
        yield shop
        load_current.cache_clear()


@pytest.fixture
def shop(lived):
    for late in set(lived.delivered.iterdir()) - {lived.delivered / f"{month}.csv" for month in HISTORY}:
        late.unlink()
    shutil.rmtree(lived.home.root)
    shutil.copytree(lived.home.root.with_name("first"), lived.home.root)
    with dg.DagsterInstance.from_config(str(lived.home.dagster)) as lived.instance:
        yield lived
        lived.kill()


def test_a_drifted_drop_ends_in_a_new_champion_and_a_calm_one_in_nothing(shop):
    before = len(shop.runs())
    shop.start()
    shop.deliver(DRIFTED)
    shop.wait_until(lambda: DRIFTED in shop.decisions(), "a decision on the drifted drop")
    decision = shop.decisions()[DRIFTED]
    assert decision.retrain, decision.reason
    assert decision.reason.startswith("retrain: realised roc_auc")
    shop.wait_until(lambda: shop.champion() == "2", "a promotion")
    (training,) = shop.runs(tags={DECISION: decision.id})
    assert training.run_config["resources"]["as_of"]["config"]["moment"] == "2024-05-01T00:00:00+00:00"

    shop.deliver(CALM)
    shop.wait_until(lambda: CALM in shop.decisions(), "a decision on the calm drop")
    assert not shop.decisions()[CALM].retrain, shop.decisions()[CALM].reason
    time.sleep(11)  # two looks of each sensor and condition
    assert shop.champion() == "2"
    # For each of the two drops one run that ingests and one for all that follows; and one training.
    assert len(shop.runs()) - before == 5, shop.told()
    assert len(shop.runs(statuses=[dg.DagsterRunStatus.SUCCESS])) == len(shop.runs()), shop.told()


def test_a_daemon_killed_at_its_work_and_between_loses_no_decision_and_acts_on_none_twice(shop):
    random, killed = np.random.default_rng(7), set()

    def at_new_work() -> bool:
        return bool(shop.kinds_going_on() - killed) or shop.champion() != "1"

    shop.deliver(DRIFTED)
    for number in range(5):
        shop.start()
        if number % 2 == 0:  # while a run goes on, of each kind in turn: it must be made again
            shop.wait_until(at_new_work, "a run that goes on")
            killed |= shop.kinds_going_on()
            time.sleep(random.uniform(0, 1.5))
        else:
            time.sleep(random.uniform(5, 16))
        shop.kill()
    shop.start()
    shop.wait_until(lambda: shop.champion() != "1", "a promotion")
    shop.wait_until(lambda: not [run for run in shop.runs() if not run.is_finished], "the end of all runs")
    time.sleep(10)
    assert killed, "no run was killed at its work"
    decisions = shop.decisions()
    assert set(decisions) == {DRIFTED}
    trainings = shop.runs(tags={DECISION: decisions[DRIFTED].id})
    # A training that was killed when its last step was done has failed, and nothing of it is left to be made again.
    promoted = shop.instance.fetch_materializations(dg.AssetKey(["returns", "champion"]), limit=20).records
    assert len({record.run_id for record in promoted} & {run.run_id for run in trainings}) == 1, shop.told()
    assert [run.status for run in trainings].count(dg.DagsterRunStatus.SUCCESS) <= 1, shop.told()
    lake = Lake(shop.home.lake)
    assert lake.scan("returns/retrain_decision").collect().height == 1
    predicted = lake.scan("returns/predictions").collect()
    assert predicted["id"].is_unique().all()
    assert predicted.height == shop.orders(DRIFTED).height
