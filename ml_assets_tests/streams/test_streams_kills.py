"""A connector that is killed at any point, and started again: every message counts once."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import chain
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.export import export_pushed, pushed_facts
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.streams.connector import Connector, stream_quarantine
from ml_assets.streams.opening import open_stream, read_address
from ml_assets.streams.routing import Routes
from ml_assets.streams.running import Batches, Running
from ml_assets_tests.streams.shop import ARRIVED, NOW, SCHEMA, VIEWS, batch, build, sale, served, tables

DAY = timedelta(days=1)
NAMES = {"sales": "sales", "shop/returns": "shop_returns"}
SEEDED = settings(
    derandomize=True,
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
)


class Killed(BaseException):
    """The process is gone."""


class Deadly:
    """Counts calls of an object, and dies before or after some of them.

    Args:
        left: how many steps are survived; one step before each call, and one after it.
    """

    def __init__(self, of: Any, left: list[int], error: Callable[[], BaseException], watched: tuple[str, ...]) -> None:
        self._of, self._left, self._error, self._watched = of, left, error, watched

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._of, name)
        if name not in self._watched:
            return value

        def call(*arguments: Any) -> Any:
            self._step()
            answer = value(*arguments)
            self._step()
            return answer

        return call

    def _step(self) -> None:
        self._left[0] -= 1
        if self._left[0] == 0:
            raise self._error()


def connect(folder, store, left, error=Killed, most=4):
    address = read_address(f"file://{folder}?name=shop")
    deadly = Deadly(store, left, error, ("reading", "change"))
    stream = Deadly(open_stream(address), left, error, ("check", "read", "acknowledge"))
    connector = Connector(address.name, deadly, tables(), Routes(list(VIEWS), address.routing))
    return Running(stream, connector, Batches(most, 0), lambda: ARRIVED, lambda _: None, lambda _: None), connector


ROW = st.tuples(
    st.sampled_from(["sales", "shop/returns", "sales", "nothing", "no json"]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 300),
    st.sampled_from([1.0, 0.1, -1.0, 1e9]),
)


def lines_of(rows):
    """The lines of a stream's file, the rows that count by table, and how many are refused by quarantine."""
    lines, counting = [], {table: [] for table in VIEWS}
    refused = dict.fromkeys([*VIEWS, stream_quarantine("shop")], 0)
    for kind, shop, minutes, amount in rows:
        if kind not in VIEWS:
            refused[stream_quarantine("shop")] += 1
            lines.append("{" if kind == "no json" else json.dumps({"kind": "sales", "rows": [1]}))
            continue
        row = sale(shop, minutes, amount)
        if amount < 0:
            refused[kind] += 1
        else:
            counting[kind].append(row)
        lines.append(json.dumps({"table": NAMES[kind], "rows": [row]}))
    return lines, counting, refused


def expected_of(counting):
    return {shop: batch(counting, shop) for shop in ("a", "b")}


def assert_each_counts_once(store, counting, refused, expected):
    for table, view in VIEWS.items():
        kept = [json.loads(row.row) for row in store.pushed_since(view.name, 0)]
        assert len(kept) == len(counting[table])
    assert {table: len(store.refused_since(table, 0)) for table in refused} == refused
    assert {shop: served(store, shop) for shop in expected} == expected


@SEEDED
@given(
    files=st.lists(st.lists(ROW, min_size=1, max_size=8), min_size=1, max_size=3),
    kills=st.lists(st.integers(1, 40), min_size=4, max_size=8),
    most=st.sampled_from([1, 3, 100]),
)
def test_whenever_it_is_killed_each_message_counts_once(tmp_path_factory, files, kills, most):
    folder = tmp_path_factory.mktemp("stream")
    store = build(open_store(f"sqlite:///{folder}/online.db"))
    for number, rows in enumerate(files):
        (folder / f"{number}.ndjson").write_text("".join(f"{line}\n" for line in lines_of(rows)[0][: len(rows) // 2]))
    for kill in kills:
        running, _ = connect(folder, store, [kill], most=most)
        with suppress(Killed):
            running.run_to_end()
        # Meanwhile the files have grown.
        for number, rows in enumerate(files):
            (folder / f"{number}.ndjson").write_text("".join(f"{line}\n" for line in lines_of(rows)[0]))
    running, connector = connect(folder, store, [0], most=most)
    running.run_to_end()
    _, counting, refused = lines_of(list(chain.from_iterable(files)))
    assert_each_counts_once(store, counting, refused, expected_of(counting))
    assert connector.progress.messages == sum(map(len, files))


def every_kill(folder, store):
    """How many steps it takes to read everything."""
    left = [0]
    running, _ = connect(folder, store, left)
    running.run_to_end()
    return -left[0]


def store_like(folder, name):
    """A store with the builds of `empty.db`."""
    return open_store(f"sqlite:///{shutil.copy(folder / 'empty.db', folder / f'{name}.db')}")


@pytest.mark.parametrize("error", [Killed, lambda: StoreUnavailable("gone")])
def test_each_step_may_be_the_last(tmp_path, error):
    rows = [
        ("sales", "a", 10, 1.0), ("shop/returns", "a", 9, 1.0), ("no json", "a", 0, 0.0), ("sales", "b", 8, 0.1),
        ("nothing", "a", 0, 0.0), ("sales", "a", 7, -1.0), ("shop/returns", "b", 6, 0.1), ("sales", "a", 200, 1e9),
    ]  # fmt: skip
    lines, counting, refused = lines_of(rows)
    stream = tmp_path / "stream"
    stream.mkdir()
    (stream / "all.ndjson").write_text("".join(f"{line}\n" for line in lines))
    build(open_store(f"sqlite:///{tmp_path}/empty.db")).close()
    steps = every_kill(stream, store_like(tmp_path, "all"))
    assert steps >= 20
    expected = expected_of(counting)
    for step in range(1, steps + 1):
        store = store_like(tmp_path, str(step))
        running, _ = connect(stream, store, [step], error)
        with pytest.raises((Killed, StoreUnavailable)):
            running.run_to_end()
        connect(stream, store, [0])[0].run_to_end()
        assert_each_counts_once(store, counting, refused, expected)
        store.close()


def test_a_stream_that_is_read_again_after_its_store_was_put_back_counts_once(tmp_path):
    """The lake has what was exported since the backup, of one of the two views; the position is that of the backup."""
    stream, lake, rows = tmp_path / "stream", Lake(str(tmp_path / "lake")), []
    stream.mkdir()

    def read(store, *more):
        rows.extend(more)
        lines, counting, _ = lines_of(rows)
        (stream / "all.ndjson").write_text("".join(f"{line}\n" for line in lines))
        connect(stream, store, [0])[0].run_to_end()
        return expected_of(counting)

    def build_again(store, view, name):
        seq = export_pushed(store, lake, view)
        known, pushed = pl.LazyFrame(schema=SCHEMA), pushed_facts(lake, view.name, seq)
        as_of = NOW - timedelta(hours=4)
        build_view(store, view, known, as_of=as_of, max_age=DAY, build=name, pushed=pushed, pushed_seq=seq)

    store = build(open_store(f"sqlite:///{tmp_path}/before.db"))
    read(store, ("sales", "a", 10, 1.0))
    with sqlite3.connect(tmp_path / "before.db") as db:
        db.execute("VACUUM INTO ?", [str(tmp_path / "after.db")])
    wanted = read(store, ("sales", "a", 9, 2.0), ("shop/returns", "a", 8, 4.0), ("sales", "b", 7, 8.0))
    build_again(store, VIEWS["sales"], "b2")
    store.close()
    store = open_store(f"sqlite:///{tmp_path}/after.db")
    build_again(store, VIEWS["sales"], "b3")
    assert read(store) == wanted
    assert {shop: served(store, shop) for shop in wanted} == wanted
    wanted = read(store, ("sales", "b", 6, 16.0))
    for view in VIEWS.values():
        build_again(store, view, "b4")
    assert {shop: served(store, shop) for shop in wanted} == wanted
    store.close()
