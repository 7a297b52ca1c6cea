"""What SQLite promises: readers and writers are not in each other's way, and a killed writer leaves nothing behind."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of
from ml_assets.online.build import build_view
from ml_assets.online.push import push_facts
from ml_assets.online.stores.errors import NoBuild, StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds

pytestmark = pytest.mark.slow

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
VIEW = FeatureViewSpec(
    name="sales", description="Sales of the store.", entity=["store"], table="sales", known_at="known",
    latest={"amount": "amount"},
)  # fmt: skip
STORES = [f"s{i:03}" for i in range(200)]
KEYS = [("sales", f'["{name}"]') for name in STORES]


def build(store, number, **more):
    table = pl.DataFrame({"store": STORES, "amount": number, "known": AS_OF})
    made = build_view(
        store, VIEW, table.lazy(), as_of=AS_OF, max_age=timedelta(days=1), build=f"b{number}", chunk=50, **more
    )
    assert made.entities == len(STORES)


def named(build):
    return f"{build}@{declaration_of(VIEW)}"


def read_while(url, stop, new):
    """Read all entities again and again, and tell what is (builds, amounts) whenever it has not been so before."""
    store, seen = open_store(url), set()
    while not stop.is_set():
        read = store.read(KEYS, microseconds(AS_OF))
        now = (*sorted({one.build for one in read}), *sorted({one.values[0] for one in read}))
        if now not in seen:
            new.put(now)
        seen.add(now)
        time.sleep(0.002)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/online.db"


def test_readers_see_whole_builds_only_while_a_writer_replaces_them(url):
    store = open_store(url)
    build(store, 0)
    spawn = multiprocessing.get_context("spawn")
    stop, new = spawn.Event(), spawn.Queue()
    readers = [spawn.Process(target=read_while, args=(url, stop, new))]
    readers += [threading.Thread(target=read_while, args=(url, stop, new)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(12):
        # Every reader must see each build before the next one replaces it, and nothing in between.
        assert [new.get(timeout=60) for _ in readers] == [(named(f"b{number}"), number)] * len(readers)
        build(store, number + 1)
    stop.set()
    for reader in readers:
        reader.join(60)


def test_a_read_is_answered_while_a_write_is_under_way(url, tmp_path):
    store = open_store(url)
    build(store, 1)
    with sqlite3.connect(tmp_path / "online.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM moments")
        assert store.read(KEYS[:1], microseconds(AS_OF))[0].values == [1]
        other.execute("ROLLBACK")


def test_old_builds_take_no_room(url, tmp_path):
    store = open_store(url)
    for number in range(3):
        build(store, number)
    with sqlite3.connect(tmp_path / "online.db") as file:
        assert file.execute("SELECT count(*) FROM moments").fetchone() == (200,)
        assert file.execute("SELECT count(*) FROM facts").fetchone() == (200,)
        assert file.execute("SELECT count(*) FROM builds").fetchone() == (1,)


KILLED = """
    import sys, time
    from datetime import timedelta
    from ml_assets_tests_online import VIEW, build
    from ml_assets.online import build as building
    from ml_assets.online.stores.opening import open_store

    def wait(*_):
        print("in the middle", flush=True)
        time.sleep(600)

    {patch}
    build(open_store(sys.argv[1]), 2)
"""


@pytest.mark.parametrize(
    "patch",
    ["building.PushedView.reapply = wait", "building.encode_schema = wait"],
    ids=["in its transaction", "while it stages"],
)
def test_a_writer_that_is_killed_in_the_middle_leaves_the_build_before(url, tmp_path, patch):
    store = open_store(url)
    build(store, 1)
    pushed = pl.DataFrame({"store": ["s000"], "amount": [7], "known": [AS_OF]})
    push_facts(store, VIEW, pushed, arrived_at=microseconds(AS_OF))
    (tmp_path / "ml_assets_tests_online.py").write_text(Path(__file__).read_text())
    script = textwrap.dedent(KILLED.format(patch=patch))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    writer = subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, env=environment)
    assert writer.stdout.readline() == b"in the middle\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait(60)
    writer.stdout.close()

    def amounts():
        return [(one.build, one.values[0]) for one in store.read(KEYS, microseconds(AS_OF))]

    assert amounts() == [(named("b1"), 7)] + [(named("b1"), 1)] * 199
    build(store, 3)
    # The fact that was pushed is known at the same moment as that of the table: the larger wins.
    assert amounts() == [(named("b3"), 7)] + [(named("b3"), 3)] * 199
    with sqlite3.connect(tmp_path / "online.db") as file:
        assert file.execute("SELECT count(DISTINCT number) FROM moments").fetchone() == (1,)


def test_a_connection_is_not_shared_with_a_forked_process(url):
    store = open_store(url)
    build(store, 1)
    child = os.fork()
    if child == 0:
        try:
            os._exit(store.read(KEYS, microseconds(AS_OF))[0].values[0] + 41)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert store.read(KEYS, microseconds(AS_OF))[0].values == [1]


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/online.db")
    with pytest.raises(NoBuild):
        store.schema("sales")
    with sqlite3.connect(tmp_path / "online.db") as file:
        file.execute("DROP TABLE views")
    with pytest.raises(StoreUnavailable, match=r"online store .*online.db: no such table: views"):
        store.build("sales")
