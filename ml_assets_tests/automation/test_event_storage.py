"""The pooled event storage against Dagster's own over the same files."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from ml_assets.automation.event_storage import OPEN_DATABASES, PooledSqliteEventLogStorage
from ml_assets.components.metadata.drop_checks import results_by_drop
from ml_assets.environment import prepare_libraries
from ml_assets.home import DAGSTER_SETTINGS, Home

pytestmark = pytest.mark.slow


@dg.asset
def measured() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"answer": 42})


@pytest.fixture
def instance(tmp_path, monkeypatch):
    home = Home(tmp_path, lake="", mlflow="")
    with monkeypatch.context() as patch:
        for name in ("ML_ASSETS_HOME", "DAGSTER_HOME"):
            patch.setenv(name, "")
        home.prepare()
        with dg.DagsterInstance.get() as opened:
            yield opened


def run(instance: dg.DagsterInstance) -> str:
    return dg.materialize([measured], instance=instance).run_id


def test_the_shipped_settings_choose_it(instance):
    assert type(instance.event_log_storage) is PooledSqliteEventLogStorage


def test_what_it_wrote_dagsters_own_storage_reads_from_its_default_place(instance, tmp_path):
    run_id = run(instance)
    ours = [entry.to_json() for entry in instance.all_logs(run_id)]
    (tmp_path / "dagster" / "dagster.yaml").write_text(DAGSTER_SETTINGS.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as default:
        assert type(default.event_log_storage) is SqliteEventLogStorage
        assert [entry.to_json() for entry in default.all_logs(run_id)] == ours
        latest = default.get_latest_materialization_event(dg.AssetKey("measured"))
        assert latest.asset_materialization.metadata["answer"].value == 42
    assert len(ours) > 5


def test_more_runs_than_open_databases_keep_all_their_events(instance):
    runs = [run(instance) for _ in range(OPEN_DATABASES + 3)]
    counts = {len(instance.all_logs(run_id)) for run_id in runs}
    assert len(counts) == 1
    assert len(instance.event_log_storage._engines) == OPEN_DATABASES


def test_a_wipe_leaves_nothing_and_the_storage_usable(instance):
    before = run(instance)
    instance.event_log_storage.wipe()
    assert instance.all_logs(before) == []
    assert instance.all_logs(run(instance))


def test_a_table_that_has_been_seen_is_not_looked_for_again(instance, monkeypatch):
    looked_for = []
    own = SqliteEventLogStorage.has_table
    monkeypatch.setattr(
        SqliteEventLogStorage, "has_table", lambda self, name: looked_for.append(name) or own(self, name)
    )
    for _ in range(2):
        run(instance)
        assert not instance.event_log_storage.has_table("no_such_table")
    seen = [name for name in looked_for if name != "no_such_table"]
    assert len(seen) == len(set(seen)) > 0
    assert looked_for.count("no_such_table") == 2, "one that is not there may be made any time"


def test_tables_of_later_runs_are_as_dagster_makes_those_of_the_first(instance, tmp_path, monkeypatch):
    monkeypatch.setattr(PooledSqliteEventLogStorage, "_of_a_run", ())
    made, own = [], SqliteEventLogStorage._initdb
    monkeypatch.setattr(
        SqliteEventLogStorage,
        "_initdb",
        lambda self, engine, **how: made.append(engine.url) or own(self, engine, **how),
    )
    first, second = run(instance), run(instance)
    assert [Path(url.database).stem for url in made if "index" not in url.database] == [first]
    described = []
    for run_id in (first, second):
        with closing(sqlite3.connect(tmp_path / "dagster" / "history" / "runs" / f"{run_id}.db")) as connection:
            tables = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
            stamp = connection.execute("SELECT * FROM alembic_version").fetchall()
            described.append((tables, stamp, connection.execute("PRAGMA journal_mode").fetchall()))
    assert described[0] == described[1]
    assert len(described[0][0]) > 5
    assert described[0][2] == [("wal",)]


DAYS = dg.StaticPartitionsDefinition(["1", "2", "3"])


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def raw(context) -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"drops": len(context.partition_keys)}, data_version=dg.DataVersion("7"))


@dg.multi_asset(
    specs=[dg.AssetSpec(name, deps=["raw"], partitions_def=DAYS) for name in ("good", "bad")],
    check_specs=[dg.AssetCheckSpec("contract", asset="good", partitions_def=DAYS)],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def gate(context):
    yield dg.MaterializeResult(asset_key="good", tags={"kept": "yes"}, data_version=dg.DataVersion("8"))
    yield dg.MaterializeResult(asset_key="bad", data_version=dg.DataVersion("9"))
    results = {
        day: dg.AssetCheckResult(asset_key=dg.AssetKey("good"), check_name="contract", passed=day != "2")
        for day in context.partition_keys
    }
    yield from results_by_drop(context, results)


def lived(instance: dg.DagsterInstance) -> dict[str, list]:
    """Rows of the tables that a run of all days, and one of the last two again, leaves behind; runs by their number."""
    runs = []
    for first in ("1", "2"):
        ends = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": "3"}
        runs.append(dg.materialize([raw, gate], instance=instance, tags=ends).run_id)
    history = Path(instance.root_directory) / "history" / "runs"
    queries = {
        "index": "SELECT run_id, dagster_event_type, step_key, asset_key, partition FROM event_logs ORDER BY id",
        "assets": "SELECT asset_key, last_run_id, last_materialization FROM asset_keys ORDER BY asset_key",
        "tags": "SELECT event_id, asset_key, key, value FROM asset_event_tags ORDER BY event_id, key",
        "checks": "SELECT asset_key, check_name, partition, run_id, execution_status, evaluation_event_storage_id, "
        "materialization_event_storage_id FROM asset_check_executions ORDER BY id",
    }
    of_run = "SELECT dagster_event_type, step_key, asset_key, partition FROM event_logs ORDER BY id"
    stored = {name: rows_of(history / "index.db", query) for name, query in queries.items()}
    stored |= {f"run {number}": rows_of(history / f"{run}.db", of_run) for number, run in enumerate(runs)}
    return {name: [tuple(map(without_moments(runs), row)) for row in rows] for name, rows in stored.items()}


def rows_of(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def without_moments(runs):
    def plain(value):
        for number, run in enumerate(runs):
            value = value.replace(run, f"run {number}") if isinstance(value, str) else value
        return re.sub(r"\d{10}(\.\d+)?|[0-9a-f]{8}-[0-9a-f-]{27}", "", value) if isinstance(value, str) else value

    return plain


def test_events_that_are_stored_together_leave_what_each_by_itself_leaves(tmp_path, monkeypatch):
    together, calls = {}, []
    own = PooledSqliteEventLogStorage.store_event_batch
    monkeypatch.setattr(
        PooledSqliteEventLogStorage, "store_event_batch", lambda self, events: calls.append(events) or own(self, events)
    )
    for size in ("0", "1000"):
        home = Home.under(tmp_path / size)
        with monkeypatch.context() as patch:
            for name in ("ML_ASSETS_HOME", "DAGSTER_HOME"):
                patch.setenv(name, "")
            patch.setenv("DAGSTER_EVENT_BATCH_SIZE", size)
            home.prepare()
            with dg.DagsterInstance.get() as opened:
                together[size] = lived(opened)
    assert calls
    assert together["1000"] == together["0"]
    assert len(together["0"]["checks"]) == 5
    assert [row[-1] is not None for row in together["0"]["checks"]] == [True] * 5


def test_events_whose_index_fails_are_stored_once(instance, monkeypatch):
    storage, run_id = instance.event_log_storage, run(instance)
    before = instance.all_logs(run_id)
    happened = [each for each in before if each.dagster_event.is_step_materialization] * 2
    own, failures = storage._store_asset_event_tags, iter([OSError("the index is locked")])

    def fail_once(*given):
        for error in failures:
            raise error
        own(*given)

    monkeypatch.setattr(storage, "_store_asset_event_tags", fail_once)
    with pytest.raises(OSError, match="locked"):
        storage.store_event_batch(happened)
    assert len(instance.all_logs(run_id)) == len(before)
    storage.store_event_batch(happened)
    assert len(instance.all_logs(run_id)) == len(before) + 2
    assert len(instance.fetch_materializations(dg.AssetKey("measured"), limit=9).records) == 3


def test_the_platform_has_events_stored_together(monkeypatch):
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    prepare_libraries()
    assert int(os.environ["DAGSTER_EVENT_BATCH_SIZE"]) > 1
