"""SQL queries as sources: against a real PostgreSQL, a real MariaDB and SQLite."""

import importlib.util
import logging
import os
import sqlite3
import traceback
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from ml_assets.sources.databases.database import KINDS, Database, open_database
from ml_assets.sources.delivery.placement import place_rows
from ml_assets.sources.delivery.read import fingerprint, list_drops, read_drops
from ml_assets.sources.drops.cut import Span
from ml_assets.sources.errors import DeliveryFault, SourceError
from ml_assets.sources.watch import due_drops, watch

pytestmark = pytest.mark.slow


def _beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


servers, mariadb = _beside("postgres_server"), _beside("mariadb_server")

NOW = 1_800_000_000.0
VARIABLE = "SHOP_DATABASE"
QUERY = "select id, amount, shop, at, changed_at from orders -- all of them"
DAILY = {"grain": "daily", "column": "at", "start": "2024-01-01"}
COLUMNS = "id bigint, amount numeric(10, 2), shop text, at {moment}, changed_at {moment}"


@pytest.fixture(scope="module")
def server():
    with servers.postgres_server() as address:
        yield address


@pytest.fixture(scope="module")
def maria():
    with mariadb.mariadb_server() as address:
        yield address


MOMENTS = {"postgresql": "timestamptz", "sqlite": "text", "mariadb": "timestamp(6) null"}


class Shop:
    """A table of orders in one kind of database."""

    def __init__(self, kind, url, execute):
        self.kind, self.url, self.execute = kind, url, execute
        self.execute("drop table if exists orders")
        self.execute(f"create table orders ({COLUMNS.format(moment=MOMENTS[kind])})")

    def add(self, *numbers, at="2024-01-15T12:00:00Z", changed="2024-02-01T00:00:00Z"):
        moments = ", ".join("null" if moment is None else f"'{self.written(moment)}'" for moment in (at, changed))
        for number in numbers:
            self.execute(f"insert into orders values ({number}, 9.50, 'Oslo', {moments})")

    def written(self, moment):
        """As the database takes it: MariaDB knows no offset."""
        return datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None) if self.kind == "mariadb" else moment


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def shop(request, tmp_path, monkeypatch):
    """Orders of the 15th, 16th and 18th; the 15th's are of three hours."""
    if request.param == "sqlite":
        path = tmp_path / "shop 100%.db"

        def execute(statement):
            with sqlite3.connect(path) as connection:
                connection.execute(statement)

        opened = Shop("sqlite", f"sqlite:///{path}", execute)
    elif request.param == "mariadb":
        opened = mariadb_shop(request.getfixturevalue("maria"))
    else:
        opened = postgres_shop(request.getfixturevalue("server"))
    monkeypatch.setenv(VARIABLE, opened.url)
    opened.add(2, at="2024-01-15T01:30:00Z")
    opened.add(1, at="2024-01-15T01:59:59.5Z")
    opened.add(3, at="2024-01-16T00:30:00+01:00")  # the 15th, 23:30 UTC
    opened.add(4, at="2024-01-16T00:00:00Z")
    opened.add(5, 6, at="2024-01-18T23:59:59Z")
    return opened


def postgres_shop(address):
    return Shop(
        "postgresql", f"postgresql://shop:{servers.ESCAPED}@{address}/postgres", executor("postgresql", address)
    )


def mariadb_shop(address):
    return Shop("mariadb", f"mysql://shop:{mariadb.ESCAPED}@{address}/shop", executor("mariadb", address))


@cache
def executor(kind, address):
    """Execute statements of a test's own, over one connection: to open one takes longer than most tests."""
    import psycopg
    import pymysql

    host, _, port = address.partition(":")
    where = {"host": host, "port": int(port), "user": "shop", "autocommit": True}
    if kind == "postgresql":
        connection = psycopg.connect(**where, password=servers.PASSWORD, dbname="postgres")
    else:
        zone = "SET SESSION time_zone = '+00:00'"
        connection = pymysql.connect(**where, password=mariadb.PASSWORD, database="shop", init_command=zone)

    def execute(statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return execute


@pytest.fixture
def selling(orders):
    def declare(text=QUERY, changed=None, **changes):
        where = {"query": text, "connection": VARIABLE, "changed": changed}
        return orders(where={name: value for name, value in where.items() if value}, **changes)

    return declare


@pytest.fixture
def asked(monkeypatch):
    """Every query, and how many rows it gave."""
    seen, run = [], Database.run

    def counted(self, text):
        frame = run(self, text)
        seen.append((text, frame.height))
        return frame

    monkeypatch.setattr(Database, "run", counted)
    return seen


def looked(spec, schema, before, ingested, now=NOW):
    tokens = watch(spec, schema, before, now)
    return tokens, due_drops(spec, schema, tokens, before, ingested, now)


def hashes(spec, schema):
    return {name: drop.content_hash for name, drop in read_drops(spec, None, schema).items()}


@pytest.mark.usefixtures("shop")
def test_a_whole_query(selling, orders_schema):
    spec = selling()
    assert spec.format == "sql"
    assert list_drops(spec, orders_schema) == ["whole"]
    drop = read_drops(spec, None, orders_schema)["whole"]
    assert dict(drop.frame.schema) == orders_schema | {"_drop": pl.String, "_content_hash": pl.String}
    assert drop.frame["id"].to_list() == [1, 2, 3, 4, 5, 6]
    assert drop.frame["amount"].to_list() == [9.5] * 6
    assert drop.frame["at"][2] == datetime(2024, 1, 15, 23, 30, tzinfo=UTC)
    assert drop.frame["at"][0] == datetime(2024, 1, 15, 1, 59, 59, 500_000, tzinfo=UTC)
    assert drop.extra_columns == ("changed_at",)


@pytest.mark.parametrize(
    ("drops", "held"),
    [
        (
            {"grain": "hourly", "start": "2024-01-15T02"},
            {"2024-01-15T23": [3], "2024-01-16T00": [4], "2024-01-18T23": [5, 6]},
        ),
        ({}, {"2024-01-15": [1, 2, 3], "2024-01-16": [4], "2024-01-18": [5, 6]}),
        ({"end": "2024-01-18"}, {"2024-01-15": [1, 2, 3], "2024-01-16": [4]}),
        ({"time_zone": "Asia/Kolkata"}, {"2024-01-15": [1, 2], "2024-01-16": [3, 4], "2024-01-19": [5, 6]}),
        ({"time_zone": "America/New_York"}, {"2024-01-14": [1, 2], "2024-01-15": [3, 4], "2024-01-18": [5, 6]}),
        ({"grain": "weekly"}, {"2024-01-15": [1, 2, 3, 4, 5, 6]}),
        ({"grain": "monthly", "start": "2023-12"}, {"2024-01": [1, 2, 3, 4, 5, 6]}),
    ],
)
@pytest.mark.usefixtures("shop")
def test_drops_are_listed_and_fetched_one_by_one(selling, orders_schema, asked, drops, held):
    spec = selling(drops=DAILY | drops)
    assert list_drops(spec, orders_schema) == list(held)
    for name, numbers in held.items():
        asked.clear()
        assert read_drops(spec, [name], orders_schema)[name].frame["id"].to_list() == numbers
        assert [rows for _, rows in asked] == [len(numbers)]
    read = read_drops(spec, None, orders_schema)
    assert {name: drop.frame["id"].to_list() for name, drop in read.items()} == held


@pytest.mark.usefixtures("shop")
def test_drops_with_a_gap_between_are_fetched_without_it(selling, orders_schema, asked):
    spec = selling(drops=DAILY)
    read_drops(spec, ["2024-01-15", "2024-01-18"], orders_schema)
    assert asked[-1][1] == 5
    with pytest.raises(SourceError, match="drop '2024-01-17': empty drop: the delivery has no row for it"):
        read_drops(spec, ["2024-01-16", "2024-01-17"], orders_schema)


def test_new_and_late_rows_make_their_day_due(shop, selling, orders_schema, asked):
    spec = selling(drops=DAILY)
    tokens, due = looked(spec, orders_schema, {}, {})
    assert due == hashes(spec, orders_schema)
    asked.clear()
    assert looked(spec, orders_schema, tokens, due) == (tokens, {})
    assert len(asked) == 1
    shop.add(7, at="2024-01-19T00:00:00Z")
    shop.add(8, at="2024-01-16T08:00:00Z")
    asked.clear()
    tokens, later = looked(spec, orders_schema, tokens, due)
    assert list(later) == ["2024-01-16", "2024-01-19"]
    assert max(rows for _, rows in asked[1:]) == 3  # of these two days
    assert later == {name: hashes(spec, orders_schema)[name] for name in later}
    assert looked(spec, orders_schema, tokens, due | later) == (tokens, {})


def test_a_day_is_due_once_it_is_over_though_nothing_changes_then(shop, selling, orders_schema):
    spec = selling(changed="changed_at", drops=DAILY)
    shop.add(9, at="2026-11-01T09:00:00Z", changed="2026-11-01T09:00:00Z")
    morning = datetime(2026, 11, 1, 10, tzinfo=UTC)
    tokens, due = looked(spec, orders_schema, {}, {}, morning.timestamp())
    assert "2026-11-01" not in due
    night = morning + timedelta(hours=14)
    assert list(looked(spec, orders_schema, tokens, due, night.timestamp())[1]) == ["2026-11-01"]


def test_with_a_changed_column_nothing_is_counted_until_it_grows(shop, selling, orders_schema, asked):
    spec = selling(changed="changed_at", drops=DAILY)
    tokens, due = looked(spec, orders_schema, {}, {})
    asked.clear()
    assert looked(spec, orders_schema, tokens, due) == (tokens, {})
    assert len(asked) == 1
    assert "COUNT" not in asked[0][0]
    shop.execute("update orders set amount = 1, changed_at = '2024-02-02T00:00:00Z' where id = 4")
    tokens, later = looked(spec, orders_schema, tokens, due)
    assert list(later) == ["2024-01-16"]
    assert looked(spec, orders_schema, tokens, due | later) == (tokens, {})
    other = selling(changed="changed_at", drops=DAILY | {"start": "2024-01-16"})
    assert list(watch(other, orders_schema, tokens, NOW)) == ["2024-01-16", "2024-01-18"]


def test_a_whole_query_is_due_when_it_changes(shop, selling, orders_schema):
    for changed in (None, "changed_at"):
        spec = selling(changed=changed)
        tokens, due = looked(spec, orders_schema, {}, {})
        assert due == hashes(spec, orders_schema)
        shop.add(70 if changed else 7, changed=f"2024-0{4 if changed else 3}-01T00:00:00Z")
        assert list(looked(spec, orders_schema, tokens, due)[1]) == ["whole"]


def test_an_empty_table_holds_nothing_yet(shop, selling, orders_schema):
    shop.execute("delete from orders")
    for spec in (selling(), selling(changed="changed_at"), selling(drops=DAILY), selling(changed="at", drops=DAILY)):
        assert list_drops(spec, orders_schema) == []
        assert watch(spec, orders_schema, {}, NOW) == {}
    with pytest.raises(SourceError, match="drop 'whole': empty drop"):
        read_drops(selling(), ["whole"], orders_schema)


def test_the_same_rows_in_another_order_are_no_change(shop, selling, orders_schema):
    spec = selling(drops=DAILY)
    before, contents = fingerprint(spec, ["2024-01-18"], orders_schema), hashes(spec, orders_schema)
    shop.execute("delete from orders where id = 5")
    shop.add(5, at="2024-01-18T23:59:59Z")
    assert (fingerprint(spec, ["2024-01-18"], orders_schema), hashes(spec, orders_schema)) == (before, contents)
    shop.execute("update orders set amount = 1 where id = 5")
    assert fingerprint(spec, ["2024-01-18"], orders_schema) != before
    assert fingerprint(spec, ["2024-01-16"], orders_schema) == fingerprint(spec, ["2024-01-16"], orders_schema)


def test_rows_without_a_moment_hold_nothing_back_and_are_counted(shop, selling, orders_schema):
    shop.add(7, 8, at=None)
    shop.add(9, at="1970-01-02T00:00:00Z")
    shop.add(10, 11, 12, at="2024-02-01T00:00:00Z")
    spec = selling(drops=DAILY | {"end": "2024-02-01"})
    assert list_drops(spec, orders_schema) == ["2024-01-15", "2024-01-16", "2024-01-18"]
    drops = read_drops(spec, ["2024-01-15", "2024-01-16"], orders_schema)
    assert sum(drop.frame.height for drop in drops.values()) == 4
    placed = place_rows(spec, orders_schema, drops)
    assert placed.places == {"before 2024-01-01": 1, "from 2024-02-01 on": 3, "without at": 2}
    assert (placed.outside, placed.waiting) == (6, 2)
    shop.execute("update orders set at = null")
    with pytest.raises(SourceError, match="column 'at': wrong type: none of 12 rows has a value"):
        list_drops(spec, orders_schema)


@pytest.mark.usefixtures("shop")
def test_a_missing_column(selling, orders_schema):
    with pytest.raises(SourceError) as raised:
        read_drops(selling("select id, amount, at from orders;"), None, orders_schema)
    assert str(raised.value) == (
        "source 'orders', drop 'whole', column 'shop': missing column: the delivery has id, amount, at; "
        "have it delivered under this name or change the contract"
    )


@pytest.mark.parametrize(
    ("column", "dtype", "told"),
    [("shop", pl.Int64(), "'Oslo' in data row 1 is no Int64"), ("id", pl.String(), "Int64 does not become String")],
)
@pytest.mark.usefixtures("shop")
def test_a_wrong_type(selling, orders_schema, column, dtype, told):
    with pytest.raises(SourceError) as raised:
        read_drops(selling(drops=DAILY), ["2024-01-16"], orders_schema | {column: dtype})
    assert (raised.value.kind, raised.value.column) == ("wrong type", column)
    assert told in str(raised.value)


@pytest.mark.parametrize("drops", [{}, DAILY])
def test_a_query_that_fails(shop, selling, orders_schema, drops):
    spec = selling("select * from invoices", drops=drops)
    with pytest.raises(SourceError) as raised:
        read_drops(spec, ["2024-01-16" if drops else "whole"], orders_schema)
    reason = {
        "postgresql": 'relation "invoices" does not exist',
        "sqlite": "no such table: invoices",
        "mariadb": "Table 'shop.invoices' doesn't exist",
    }[shop.kind]
    assert raised.value.kind == "query failed"
    assert str(raised.value).startswith("source 'orders', drop '")
    assert f"query failed: the database of {VARIABLE} answers: " in str(raised.value)
    assert reason in str(raised.value)
    assert str(raised.value).endswith("; correct `where.query`")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["drop table orders", "delete from orders returning *", "select 1) as a; drop table orders; --"]
)
def test_a_query_cannot_write(shop, selling, orders_schema, text):
    with pytest.raises(SourceError, match="query failed"):
        read_drops(selling(text), None, orders_schema)
    shop.add(9)


def test_dates_and_wall_clock_times(selling, server, monkeypatch):
    shop = postgres_shop(server)
    monkeypatch.setenv(VARIABLE, shop.url)
    shop.add(1, at="2024-01-15T23:59:59Z")
    shop.add(2, at="2024-01-16T00:00:00Z")
    text = "select id, (at at time zone 'UTC')::date as day, at at time zone 'UTC' as clock from orders"
    schema = {"id": pl.Int64(), "day": pl.Date(), "clock": pl.Datetime("us")}
    for column in ("day", "clock"):
        # A zone is of no matter to what has none.
        spec = selling(text, drops=DAILY | {"column": column, "time_zone": "America/New_York"})
        assert list_drops(spec, schema) == ["2024-01-15", "2024-01-16"]
        assert read_drops(spec, ["2024-01-16"], schema)["2024-01-16"].frame["id"].to_list() == [2]
    assert read_drops(spec, ["2024-01-15"], schema)["2024-01-15"].frame["day"].to_list() == [date(2024, 1, 15)]


def test_a_column_of_sqlite_may_begin_with_anything(selling, tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table t (id integer, amount, even boolean)")
        rows = [(i, None if i < 3000 else i / 2, i % 2 == 0) for i in range(4000)]
        connection.executemany("insert into t values (?, ?, ?)", rows)
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/shop.db")
    schema = {"id": pl.Int64(), "amount": pl.Float64(), "even": pl.Boolean()}
    frame = read_drops(selling("select * from t"), None, schema)["whole"].frame
    assert frame["even"].to_list()[:3] == [True, False, True]
    assert frame["amount"].sum() == sum(i / 2 for i in range(3000, 4000))


# ---- what the URL holds is never told


def secret_free(raised, capfd, caplog):
    told = "".join(traceback.format_exception(raised.value)) + "".join(capfd.readouterr()) + caplog.text
    chained = raised.value
    while chained is not None:
        told += f"{chained} {chained.args!r} {vars(chained)!r}"
        chained = chained.__cause__ or chained.__context__
    return not any(part in told for part in ("Pa55", "w@rd", "w%40rd", "ss@", "secret"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (None, f"the environment variable {VARIABLE} is not set; set it to a URL such as postgresql://user:"),
        (lambda url: url.replace("Pa55", "pa55"), "password authentication failed for user"),
        (lambda url: url.replace("/postgres", "/nowhere"), 'database "nowhere" does not exist'),
        (lambda url: url.rpartition(":")[0] + ":1/postgres", "Connection refused"),
        (lambda url: url + "?sslmode=Pa55%20w%40rd%2Fsecret&password=secret", "cannot be reached ("),
        (lambda url: url.replace("%40", "@"), f"the environment variable {VARIABLE} holds no connection URL"),
        (lambda url: url.replace("%2F", "/"), f"the environment variable {VARIABLE} holds no connection URL"),
        (lambda url: url.replace("%20", " "), f"the environment variable {VARIABLE} holds no connection URL"),
        (lambda url: url.replace("postgresql", "oracle"), f"the environment variable {VARIABLE} holds no connection"),
        (lambda _: "host=127.0.0.1 password=Pa55", f"the environment variable {VARIABLE} holds no connection URL"),
        (lambda _: "sqlite:////no/such/folder/shop.db", "there is no file /no/such/folder/shop.db"),
    ],
)
def test_a_database_that_cannot_be_reached(server, selling, orders_schema, monkeypatch, capfd, caplog, change, told):
    caplog.set_level(logging.DEBUG)
    url = f"postgresql://shop:{servers.ESCAPED}@{server}/postgres"
    if change is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, change(url))
    for ask in (
        lambda: read_drops(selling(), ["whole"], orders_schema),
        lambda: list_drops(selling(drops=DAILY), orders_schema),
        lambda: watch(selling(drops=DAILY), orders_schema, {}, NOW),
        lambda: fingerprint(selling(), ["whole"], orders_schema),
    ):
        with pytest.raises(SourceError) as raised:
            ask()
        assert raised.value.kind == "unreachable"
        assert told in str(raised.value)
        assert "\n" not in str(raised.value)
        assert secret_free(raised, capfd, caplog)


@pytest.mark.usefixtures("shop")
def test_neither_the_database_nor_the_source_tells_its_url(selling):
    told = repr(open_database(VARIABLE)) + repr(selling()) + selling().model_dump_json()
    assert VARIABLE in told
    assert os.environ[VARIABLE] not in told
    assert "Pa55" not in told
    assert "127.0.0.1" not in told


# ---- MySQL and MariaDB


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "mariadb"])
def test_every_scheme_of_mysql_reaches_it(maria, monkeypatch, scheme):
    monkeypatch.setenv(VARIABLE, f"{scheme}://shop:{mariadb.ESCAPED}@{maria}/shop?connect_timeout=5")
    assert open_database(VARIABLE).run("SELECT 1 AS one")["one"].to_list() == [1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda url: url.replace("Pa55", "pa55"), "Access denied for user 'shop'"),
        (lambda url: url.replace("/shop", "/nowhere"), "nowhere"),
        (lambda url: url.rpartition(":")[0] + ":1/shop", "Can't connect to MySQL server"),
    ],
)
def test_a_mysql_that_cannot_be_reached(maria, selling, orders_schema, monkeypatch, capfd, caplog, change, told):
    monkeypatch.setenv(VARIABLE, change(f"mysql://shop:{mariadb.ESCAPED}@{maria}/shop"))
    with pytest.raises(SourceError) as raised:
        read_drops(selling(), ["whole"], orders_schema)
    assert raised.value.kind == "unreachable"
    assert told in str(raised.value)
    assert secret_free(raised, capfd, caplog)


def test_a_query_of_mysql_may_not_write_by_any_other_way(maria, monkeypatch):
    shop = mariadb_shop(maria)
    monkeypatch.setenv(VARIABLE, shop.url)
    with pytest.raises(DeliveryFault, match="READ ONLY"):
        open_database(VARIABLE).run("DELETE FROM orders")


def test_every_dialect_says_the_same_range_its_own_way():
    zoned = Span(datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 1, 16, tzinfo=UTC))
    clock = Span(datetime(2024, 1, 15), None)
    said = {
        name: [
            kind.dialect.within("at", pl.Datetime("us", "UTC"), [zoned]),
            kind.dialect.within("at", pl.Datetime("us"), [clock]),
            kind.dialect.within("at", pl.Date(), [clock]),
        ]
        for name, kind in KINDS.items()
    }
    beyond = """"at" IS NULL OR "at" IN ('infinity', '-infinity') OR """
    assert said["postgresql"] == [
        beyond + "(\"at\" >= TIMESTAMPTZ '2024-01-15 00:00:00+00:00' "
        "AND \"at\" < TIMESTAMPTZ '2024-01-16 00:00:00+00:00')",
        beyond + "(\"at\" >= TIMESTAMP '2024-01-15 00:00:00')",
        beyond + "(\"at\" >= DATE '2024-01-15')",
    ]
    beyond = "`at` IS NULL OR `at` < '0001-01-01' OR "
    assert said["mysql"] == [
        beyond + "(`at` >= TIMESTAMP '2024-01-15 00:00:00' AND `at` < TIMESTAMP '2024-01-16 00:00:00')",
        beyond + "(`at` >= TIMESTAMP '2024-01-15 00:00:00')",
        beyond + "(`at` >= DATE '2024-01-15')",
    ]
    seconds = "CAST(strftime('%s', \"at\") AS INTEGER)"
    assert said["sqlite"] == [
        f"{seconds} IS NULL OR ({seconds} >= 1705276800 AND {seconds} < 1705363200)",
        f"{seconds} IS NULL OR ({seconds} >= 1705276800)",
        f"{seconds} IS NULL OR ({seconds} >= 1705276800)",
    ]
