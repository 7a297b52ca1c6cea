"""The main job lives through a made-up shop of one source, one view and one model."""

import io
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from ml_assets.addresses import local_path
from ml_assets.automation.execute import RunFailed, Runner
from ml_assets.automation.instance_records import InstanceRecords
from ml_assets.automation.projects import declared_in, find_model, spine_of, tree_of
from ml_assets.automation.run_records import open_run_records
from ml_assets.automation.run_tags import DECISION
from ml_assets.commands.experiment.replay_job import run_replay
from ml_assets.commands.experiment.trial import print_trial, try_model
from ml_assets.commands.lifecycle.main_job import MainJob
from ml_assets.commands.lifecycle.roll_back import roll_back
from ml_assets.commands.lifecycle.status import model_status
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.project import load_current
from ml_assets.registry.registry import Registry
from ml_assets.resources import RegistryResource
from ml_assets.retraining.decide import read_decisions
from ml_assets.retraining.replay.report import as_json, render_replay
from ml_assets.settings import read_settings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

HISTORY, APRIL = ["2024-01", "2024-02", "2024-03"], "2024-04"
CUT_OFF = "2024-04-01"
STARTED = dg.DagsterRunStatus.STARTED
ORDERS_A_DAY = 20
SPLIT = {"validation": "14d", "holdout": "14d", "gap": "2d"}


class Shop:
    def __init__(self, home, delivered, orders):
        self.home, self.delivered, self.orders = home, delivered, orders
        self.lake = Lake(home.lake)

    def deliver(self, month, seed=0, **renamed):
        self.orders.of(month, ORDERS_A_DAY, seed=seed).rename(renamed).write_csv(self.delivered / f"{month}.csv")

    def live(self, cut_off=CUT_OFF, **options):
        MainJob(self.home, "shop").live(cut_off, as_json=True, **options)

    def runs(self):
        with dg.DagsterInstance.get() as instance:
            return [(run.job_name, run.status) for run in reversed(list(instance.get_runs()))]


@pytest.fixture(scope="module")
def shop(own_home, make_project, made_up_orders, tmp_path_factory):
    """The shop as the project that the working directory lies in."""
    delivered = tmp_path_factory.mktemp("delivered")
    project = make_project(*made_up_orders.declared(delivered, split=SPLIT))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        load_current.cache_clear()
        opened = Shop(own_home, delivered, made_up_orders)
        for month in [*HISTORY, APRIL]:
            opened.deliver(month)
        yield opened
    load_current.cache_clear()


@pytest.fixture
def planned_only(monkeypatch):
    """Collects the runs that would be executed."""
    titles = []
    monkeypatch.setattr(Runner, "run", lambda _, planned, *__: titles.append(planned.title))
    return titles


# The tests of this module follow one another in one home.


def test_an_unknown_use_case_is_an_error_that_names_those_there_are(shop):
    with pytest.raises(ValueError, match="no use case 'shoes' under defs/; there are shop"):
        MainJob(shop.home, "shoes").live(CUT_OFF)


def test_an_unknown_model_is_an_error_that_names_those_there_are(shop):
    with pytest.raises(ValueError, match="shop declares no model loans; there are returns"):
        MainJob(shop.home, "shop", ("loans",)).live(CUT_OFF)


def test_a_source_that_has_delivered_nothing_is_named_with_its_place(shop, monkeypatch):
    monkeypatch.setattr("ml_assets.commands.lifecycle.main_job.list_drops", lambda *_: [])
    told = r"no drop that is over has been delivered of orders \(.*\.csv\)"
    with pytest.raises(ValueError, match=told):
        shop.live()
    assert shop.runs() == []


def test_a_cut_off_before_the_first_drop_is_an_error(shop):
    with pytest.raises(ValueError, match="nothing to train on: no drop of shop lies before 2023-01-01"):
        shop.live("2023-01-01")
    assert shop.runs() == []


@pytest.mark.parametrize("cut_off", ["soon", "2024-13-01", "01.04.2024"])
def test_a_cut_off_that_is_no_date_is_an_error_before_anything_runs(shop, cut_off):
    with pytest.raises(ValueError, match=cut_off):
        shop.live(cut_off)
    assert shop.runs() == []


def test_history_training_and_each_later_drop_are_lived_in_order(shop, capfd):
    shop.live()
    printed, told = capfd.readouterr()
    assert shop.runs() == [(f"shop_{job}", dg.DagsterRunStatus.SUCCESS) for job in ("ingest", "train", "drop")]
    assert [line.rsplit(",", 1)[0] for line in told.splitlines() if line.startswith("✓")] == [
        "✓ 2024-01 to 2024-03: ingest, validate, features 3 steps",
        "✓ 2024-04-01: tune, train, evaluate, promote 5 steps",
        "✓ 2024-04: ingest, score, monitor 7 steps",
    ]
    assert any(line.split()[:2] == ["1/3", "orders/raw"] for line in told.splitlines())
    summary = json.loads(printed)["returns"]
    (drop,) = summary["drops"]
    assert (drop["drop"], drop["rows"], drop["quarantined"], drop["champion"]) == (APRIL, 600, 0, "1")
    assert drop["strongest_drift"] == "price"
    assert 0.8 < drop["realised"] <= 1
    assert {row["metric"] for row in summary["holdout"]} >= {"roc_auc", "brier"}


def test_living_through_it_again_does_nothing(shop, capfd):
    before = shop.runs()
    versions = {key: shop.lake.version(key) for key in ("orders/raw", "features/order", "returns/predictions")}
    shop.live()
    _, told = capfd.readouterr()
    assert told.count("nothing has changed") == 3
    assert shop.runs() == before
    assert {key: shop.lake.version(key) for key in versions} == versions


def test_other_bytes_of_the_last_drop_run_that_drop_again(shop, planned_only):
    shop.deliver(APRIL, seed=1)
    shop.live()
    assert planned_only == ["2024-04: ingest, score, monitor"]
    shop.deliver(APRIL)


@pytest.mark.parametrize(("declared", "for_its_data"), [(True, True), (True, False), (False, True)])
def test_a_failed_drop_ends_the_run_unless_a_gate_turned_it_away_and_sources_are_declared_to_go_on(
    shop, monkeypatch, capfd, declared, for_its_data
):
    tried = []

    def fail_in_april(_, planned, *__):
        tried.append(planned.drops)
        if planned.drops == (APRIL,):
            raise RunFailed(f"{planned.title}: step orders__gate: broken", for_its_data=for_its_data)

    monkeypatch.setattr(Runner, "run", fail_in_april)
    monkeypatch.setattr(Runner, "is_done", lambda _, __: False)
    monkeypatch.setattr(MainJob, "_drops", lambda _: [*HISTORY, APRIL, "2024-05"])
    monkeypatch.setattr(MainJob, "_delivered", lambda *_: "")
    monkeypatch.setattr(MainJob, "_goes_on", declared)
    goes_on = declared and for_its_data
    with pytest.raises(RunFailed, match=r"^2024-04: ingest, score, monitor: step orders__gate: broken$"):
        shop.live()
    assert tried == [tuple(HISTORY), (), (APRIL,), *([("2024-05",)] if goes_on else [])]
    assert bool(capfd.readouterr().out) == goes_on, "the summary shows what there is"


def test_other_bytes_of_an_early_drop_run_everything_after_it_again(shop, planned_only):
    shop.deliver(HISTORY[0], seed=1)
    shop.live()
    assert planned_only == [
        "2024-01 to 2024-03: ingest, validate, features",
        "2024-04-01: tune, train, evaluate, promote",
        "2024-04: ingest, score, monitor",
    ]
    shop.deliver(HISTORY[0])


def test_another_cut_off_trains_again(shop, planned_only):
    shop.live("2024-03-15")
    assert planned_only[:2] == [
        "2024-01 to 2024-02: ingest, validate, features",
        "2024-03-15: tune, train, evaluate, promote",
    ]


def test_since_and_until_cut_the_history_and_the_end(shop, planned_only):
    shop.live(since="2024-02", until="2024-03")
    assert planned_only == [
        "2024-02 to 2024-03: ingest, validate, features",
        "2024-04-01: tune, train, evaluate, promote",
    ]


def test_a_bad_drop_ends_the_lifecycle_with_the_reason_and_what_was_there_stays(shop, capfd):
    predictions = shop.lake.scan("returns/predictions").collect()
    shop.deliver("2024-05", amount="price")
    with pytest.raises(RunFailed) as caught:
        shop.live()
    assert str(caught.value).startswith("2024-05: ingest, score, monitor: step orders__raw: ")
    assert "source 'orders', drop '2024-05', column 'amount': missing column" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caught.value.for_its_data, "no gate has looked at it"
    assert shop.runs()[-1] == ("shop_drop", dg.DagsterRunStatus.FAILURE)
    assert shop.lake.scan("returns/predictions").collect().equals(predictions)
    _, told = capfd.readouterr()
    assert told.count("nothing has changed") == 3


def test_impossible_rows_are_told_and_end_the_lifecycle_before_anything_is_scored(shop, capfd):
    bad = shop.orders.of("2024-05", ORDERS_A_DAY).with_columns(
        amount=pl.when(pl.int_range(pl.len()) < 6).then(-1.0).otherwise("amount")
    )
    bad.write_csv(shop.delivered / "2024-05.csv")
    with pytest.raises(
        RunFailed, match=r"step orders__gate: .*orders/validated.*contract|step orders__gate: .*contract"
    ) as caught:
        shop.live()
    assert caught.value.for_its_data
    _, told = capfd.readouterr()
    told = " ".join(told.split())
    assert "✗ check orders/validated:contract failed: observed 0.00967" in told
    assert "threshold 0.0" in told
    assert shop.lake.partitions("returns/predictions", "_drop") == [APRIL]


def test_a_drop_that_was_mended_is_lived_through_and_nothing_else_is(shop, capfd):
    shop.deliver("2024-05")
    shop.live()
    printed, told = capfd.readouterr()
    assert told.count("nothing has changed") == 3
    drops = {drop["drop"]: drop["rows"] for drop in json.loads(printed)["returns"]["drops"]}
    assert drops == {APRIL: 600, "2024-05": 620}
    assert shop.lake.scan("orders/quarantine").collect().is_empty()


def test_a_run_that_was_killed_is_closed_and_said(shop, capfd):
    with dg.DagsterInstance.get() as instance:
        instance.add_run(dg.DagsterRun(job_name="shop_drop", tags={"ml_assets/launched_by": "cli"}, status=STARTED))
    shop.live()
    _, told = capfd.readouterr()
    assert "Closed 1 killed run(s) and 0 MLflow run(s) they had left open." in told
    assert STARTED not in {status for _, status in shop.runs()}


def test_a_replay_of_it_is_told_resumed_and_drawn(shop):
    told = []
    console = Console(file=io.StringIO(), width=100)
    project, folder = declared_in(load_current()), tree_of(load_current()).project_root
    model = project.model("returns")
    for _ in range(2):
        lived = run_replay(project, folder, shop.home, model, APRIL, "2024-05", ["never", "every-drop"], console)
        told.append(as_json("returns", "roc_auc", lived))
    assert told[0] == told[1]
    never, every = told[0]["policies"]
    assert [period["period"] for period in never["periods"]] == [APRIL, "2024-05"]
    assert (never["retrains"], every["retrains"]) == (0, 1)
    # The champion of April is the one that the main job trained as of the same day, so it scores alike.
    lake = shop.lake.scan("returns/performance_report")
    stored = lake.filter(pl.col("_drop") == APRIL).collect().filter(kind="realised", metric="roc_auc", scope="period")
    assert never["periods"][0]["value"] == pytest.approx(stored["value"].item(), abs=0.02)
    assert "2024-05" in render_replay("returns", "roc_auc", lived)


def test_a_replay_says_what_it_cannot_do(shop):
    project, console = declared_in(load_current()), Console(file=io.StringIO())
    about = project, tree_of(load_current()).project_root, shop.home, project.model("returns")
    with pytest.raises(ValueError, match="unknown policies sometimes: choose from never, monthly"):
        run_replay(*about, APRIL, APRIL, ["sometimes"], console)
    with pytest.raises(ValueError, match=r"no drops from 2024-01 to 2024-02 with history before.*: the lake holds"):
        run_replay(*about, "2024-01", "2024-02", ["never"], console)


def test_the_status_tells_of_the_last_decision(shop):
    model = find_model(load_current(), "returns")
    resource = RegistryResource(tracking_uri=shop.home.mlflow, artifacts=shop.home.mlflow_artifacts)
    now, records = datetime.now(UTC), open_run_records(shop.home)
    spine = spine_of(load_current(), model)
    told = model_status(model, spine, shop.lake, resource.open(), records, now)
    later = model_status(model, spine, shop.lake, resource.open(), records, now + timedelta(days=31))
    assert (told.last_drop, told.decision, told.freshness, later.freshness) == ("2024-05", "retrain", "fresh", "stale")
    assert told.reason.startswith("retrain: labelled rows are 1.")
    assert told.next_step == "retrained; wait for the next drop"


def test_without_its_registry_the_status_says_so_and_shows_the_rest(shop):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    model = find_model(load_current(), "returns")
    spine, now = spine_of(load_current(), model), datetime.now(UTC)
    with dg.DagsterInstance.get() as instance:
        told = model_status(model, spine, shop.lake, Registry(address, None, "x"), InstanceRecords(instance), now)
    assert told.champion is None
    assert told.next_step == told.registry_away
    assert told.registry_away.startswith(f"MLflow at {address} does not answer")
    assert (told.last_drop, told.decision, told.freshness) == ("2024-05", "retrain", "fresh")


def test_dagsters_records_read_from_its_files_are_those_that_it_reads_itself(shop):
    (decided,) = [one for one in read_decisions(shop.lake, "returns") if one.retrain]
    with dg.DagsterInstance.get() as instance:
        dagsters, own = InstanceRecords(instance), open_run_records(shop.home)
        for key in (["returns", "champion"], ["orders", "raw"], ["nobody", "champion"]):
            assert own.last_materialized(key) == dagsters.last_materialized(key)
        assert own.last_materialized(["returns", "champion"]) is not None
        for value in (decided.id, "none"):
            assert own.run_statuses(DECISION, value) == dagsters.run_statuses(DECISION, value)
        assert own.run_statuses(DECISION, decided.id) == ["SUCCESS"]
        checks = ["contract", "row_count", "history"]
        (of_may,) = (own.checks_of(["orders", "validated"], [name], "2024-05") for name in checks[:1])
        assert of_may == dagsters.checks_of(["orders", "validated"], checks[:1], "2024-05")
        found = {(one.check, one.partition): one.passed for one in own.check_results(["orders", "validated"], checks)}
        wanted = dagsters.check_results(["orders", "validated"], checks)
        assert found == {(one.check, one.partition): one.passed for one in wanted}
        assert found["contract", "2024-05"]
        instance.wipe_assets([dg.AssetKey(["orders", "raw"])])
        assert own.last_materialized(["orders", "raw"]) is dagsters.last_materialized(["orders", "raw"]) is None


def test_the_registry_read_from_mlflows_file_is_the_one_that_mlflow_reads(shop):
    import mlflow

    registry = RegistryResource(tracking_uri=shop.home.mlflow, artifacts=shop.home.mlflow_artifacts).open()
    client = mlflow.MlflowClient(tracking_uri=shop.home.mlflow, registry_uri=shop.home.mlflow)
    aliases = client.get_registered_model("returns").aliases
    assert registry.champion("returns").version == str(aliases["champion"])
    for own in registry.versions("returns"):
        theirs = client.get_model_version("returns", own.version)
        assert own.model_dump(exclude={"name"}) == {
            "version": str(theirs.version), "run_id": theirs.run_id, "location": theirs.source,
            "aliases": tuple(sorted(theirs.aliases)), "tags": theirs.tags,
        }  # fmt: skip
    assert len(registry.versions("returns")) == len(client.search_model_versions("name = 'returns'"))
    assert registry.champion("nobody") is None


# Prints what a command has loaded; a server that would wait for requests does not.
COMMAND = """
import sys
sys.argv = ["ml-assets", *sys.argv[1:]]
if sys.argv[1] == "serve":
    import uvicorn
    uvicorn.Server.run = lambda self: setattr(self, "started", True)
from ml_assets.cli import app
try:
    app()
finally:
    print("LOADED", *(name for name in sys.modules if "." not in name), file=sys.stderr)
"""
READ, SCORE = {"dagster", "mlflow", "xgboost", "sklearn", "scipy", "pandas"}, {"dagster", "mlflow"}
NEVER = {"nannyml", "optuna", "matplotlib", "lightgbm", "dbt", "dagster_dbt"}


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["status"], READ | {"pandera"}),
        (["summary", "shop"], READ | {"pandera"}),
        (["rollback", "returns", "--to", "99"], READ | {"pandera"}),
        (["score", "returns", "--input", "INPUT", "--output", "scores.csv"], SCORE | {"pandera"}),
        (["serve", "returns"], SCORE),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_loads_only_what_it_needs(shop, tmp_path, arguments, forbidden):
    pl.DataFrame({"price": [10.0, 90.0]}).write_csv(tmp_path / "rows.csv")
    arguments = [str(tmp_path / "rows.csv") if one == "INPUT" else one for one in arguments]
    arguments = [str(tmp_path / one) if one == "scores.csv" else one for one in arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ML_ASSETS")}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=kept | {"ML_ASSETS_HOME": str(shop.home.root)},
    )
    *said, loaded = done.stderr.strip().splitlines()
    assert loaded.startswith("LOADED ")
    assert done.returncode == (1 if arguments[0] == "rollback" else 0), said
    assert (forbidden | NEVER) & set(loaded.split()) == set()


def test_a_roll_back_counts_from_the_last_decision(shop):
    registry = RegistryResource(tracking_uri=shop.home.mlflow, artifacts=shop.home.mlflow_artifacts).open()
    registry.promote("returns", registry.versions("returns")[-1].version)
    reigning = registry.champion("returns").version
    if reigning == "1":
        with pytest.raises(LookupError, match="replaced none"):
            roll_back(shop.home, registry, "returns", None, datetime(2024, 7, 1, tzinfo=UTC))
        return
    notice = roll_back(shop.home, registry, "returns", "1", datetime(2024, 7, 1, tzinfo=UTC))
    assert notice.headline == f"returns: version 1 serves again instead of version {reigning}, from 2024-06-01 on"
    assert registry.rolled_back_at("returns") == datetime(2024, 6, 1, tzinfo=UTC)


def test_a_model_is_tried_in_memory_straight_from_its_source(shop, tmp_path):
    empty = Lake(str(tmp_path / "lake"))
    told = try_model(load_current(), empty, find_model(load_current(), "returns"), rows=2_000)
    assert not (tmp_path / "lake").exists()
    (price,) = told.suspects.iter_rows(named=True)
    assert price["feature"] == "price"
    assert price["suspicious"]  # 1 / (1 + exp(-x)) of it decides the label
    own, baseline = told.metrics["roc_auc"]
    assert own > 0.85
    assert baseline == 0.5
    # Orders come evenly, and 2,000 of all are drawn: a part has its share of the days.
    days = {"validation": 14, "holdout": 14}
    delivered = pl.scan_csv(shop.delivered / "*.csv", try_parse_dates=True).select("placed_at").collect()
    a_day = 2_000 / delivered["placed_at"].dt.date().n_unique()
    for part, length in days.items():
        assert told.rows[part] == pytest.approx(length * a_day, rel=0.25)
    again = try_model(load_current(), empty, find_model(load_current(), "returns"), rows=2_000)
    assert again.metrics == told.metrics
    console = Console(file=io.StringIO(), width=100)
    print_trial(console, told)
    assert "suspected" in console.file.getvalue()


def test_a_home_that_was_moved_goes_on_where_it_stood(shop, capfd):
    before, after = shop.home.root, shop.home.root.parent / "another home, ü#2"
    before.rename(after)
    os.environ["ML_ASSETS_HOME"] = str(after)
    home = Home.of(read_settings())
    home.prepare()
    load_current.cache_clear()
    moved = Shop(home, shop.delivered, shop.orders)
    moved.deliver("2024-06")
    moved.live()
    printed, told = capfd.readouterr()
    assert told.count("nothing has changed") == 5
    assert [drop["drop"] for drop in json.loads(printed)["returns"]["drops"]] == [APRIL, "2024-05", "2024-06"]
    resource = RegistryResource(tracking_uri=home.mlflow, artifacts=home.mlflow_artifacts)
    registry = resource.open()
    for version in registry.versions("returns"):
        assert local_path(version.location).is_relative_to(after)
        assert registry.load("returns", version=version.version).features == ["price"]
    with dg.DagsterInstance.get() as instance:
        assert len(instance.get_runs()) > 4
        assert str(before) not in instance.get_ref().to_dict().__repr__()
    assert not before.exists()
