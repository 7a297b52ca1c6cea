"""Every type of PostgreSQL, MariaDB and SQLite: a value in, the value out, or one line that names it."""

import importlib.util
import sqlite3
import sys
from pathlib import Path

import polars as pl
import pytest

from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.samples.sample import read_sample
from ml_assets.scaffolding.sources.declaration import infer_source
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.sources.delivery.read import list_drops, read_drops
from ml_assets.sources.errors import SourceError

pytestmark = pytest.mark.slow

VARIABLE = "TYPES_DATABASE"
QUERY = "select * from held"


def _beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stored, postgres, mariadb = _beside("stored_types"), _beside("postgres_server"), _beside("mariadb_server")
TABLES = {"postgresql": stored.POSTGRESQL, "mariadb": stored.MARIADB, "sqlite": stored.SQLITE}
CASES = [(kind, place) for kind, cases in TABLES.items() for place in range(len(cases))]


def case_id(case):
    kind, place = case
    return f"{kind}-{TABLES[kind][place].type}-{place}"


def declared_as(case):
    return "" if case.type == "without a type" else stored.OF_ITS_OWN_NAME.get(case.type, case.type)


def statements(kind):
    """A table with a column for each case: a row with the values, and one without any."""
    cases = TABLES[kind]
    columns = ", ".join(f"c{place} {declared_as(case)}" for place, case in enumerate(cases))
    cast = {"postgresql": "{0}::{1}"}.get(kind, "{0}")
    values = ", ".join(cast.format(f"({case.written})", declared_as(case)) for case in cases)
    yield from (case.setup for case in cases if case.setup)
    yield f"create table held (id integer, {columns})"
    yield f"insert into held values (1, {values})"
    yield "insert into held (id) values (2)"


def execute_all(connect, lines):
    with connect() as connection:
        cursor = connection.cursor()
        for line in lines:
            cursor.execute(line)
        connection.commit()


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    """Kind -> the URL of a database with the table; made when it is first asked for."""
    with pytest.MonkeyPatch.context(), Opened(tmp_path_factory.mktemp("types")) as opened:
        yield opened


class Opened:
    def __init__(self, folder):
        self._folder, self._urls, self._servers = folder, {}, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.__exit__(None, None, None)

    def __getitem__(self, kind):
        if kind not in self._urls:
            self._urls[kind] = getattr(self, f"_{kind}")()
        return self._urls[kind]

    def _start(self, server):
        address = server.__enter__()
        self._servers.append(server)
        return address

    def _sqlite(self):
        path = self._folder / "types.db"
        execute_all(lambda: sqlite3.connect(path), statements("sqlite"))
        return f"sqlite:///{path}"

    def _postgresql(self):
        from adbc_driver_postgresql import dbapi

        address = self._start(postgres.postgres_server())
        url = f"postgresql://shop:{postgres.ESCAPED}@{address}/postgres"
        execute_all(lambda: dbapi.connect(url), statements("postgresql"))
        return url

    def _mariadb(self):
        import pymysql

        address = self._start(mariadb.mariadb_server())
        host, _, port = address.partition(":")
        login = {"host": host, "port": int(port), "user": "shop", "password": mariadb.PASSWORD, "database": "shop"}
        zone = "SET SESSION time_zone = '+00:00'"
        execute_all(lambda: pymysql.connect(**login, init_command=zone), statements("mariadb"))
        return f"mysql://shop:{mariadb.ESCAPED}@{address}/shop"


@pytest.fixture
def reading(urls, orders, monkeypatch):
    """Reads columns of the table of a kind of database."""

    def read(kind, schema, query=QUERY, **changes):
        monkeypatch.setenv(VARIABLE, urls[kind])
        spec = orders(where={"query": query, "connection": VARIABLE}, **changes)
        return read_drops(spec, ["whole"], {"id": pl.Int64()} | schema)["whole"].frame

    return read


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_value_is_read_as_it_is_or_named(reading, case):
    kind, place = case
    held = TABLES[kind][place]
    schema = {f"c{place}": held.dtype}
    if held.refused:
        with pytest.raises(SourceError) as raised:
            reading(kind, schema)
        assert (raised.value.kind, raised.value.column) == ("wrong type", f"c{place}")
        assert held.refused in str(raised.value)
        assert "\n" not in str(raised.value)
        return
    column = reading(kind, schema)[f"c{place}"]
    assert column.dtype == held.dtype
    assert column.cast(pl.Datetime("us") if held.dtype == pl.Datetime else held.dtype).to_list()[1:] == [None]
    assert column.to_list()[0] == held.becomes


IMPOSSIBLE = [case for case in CASES if TABLES[case[0]][case[1]].refused == stored.IMPOSSIBLE]


@pytest.mark.parametrize("case", IMPOSSIBLE, ids=case_id)
def test_what_no_calendar_has_is_missing_where_that_is_declared(reading, case):
    kind, place = case
    schema = {f"c{place}": TABLES[kind][place].dtype}
    assert reading(kind, schema, impossible_moments="missing")[f"c{place}"].to_list() == [None, None]


def test_every_type_that_the_server_has_is_in_the_table(urls, orders, monkeypatch):
    """But PostgreSQL's own for its catalog, and that of cursors, of which no column is made."""
    own = "pg_node_tree pg_ndistinct pg_dependencies pg_mcv_list pg_brin_bloom_summary pg_brin_minmax_multi_summary"
    own += " aclitem gtsvector refcursor int2vector oidvector"
    own += " regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype"
    own += " int8multirange nummultirange datemultirange tsmultirange tstzmultirange"
    query = (
        "select format_type(oid, null) as id from pg_type where typnamespace = 'pg_catalog'::regnamespace "
        "and typtype in ('b', 'r', 'm') and typcategory <> 'A'"
    )
    monkeypatch.setenv(VARIABLE, urls["postgresql"])
    spec = orders(where={"query": query, "connection": VARIABLE})
    served = set(read_drops(spec, ["whole"], {"id": pl.String()})["whole"].frame["id"])
    short = {"timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone"}
    short |= {"time": "time without time zone", "timetz": "time with time zone"}
    names = {case.type.partition("(")[0] for case in stored.POSTGRESQL}
    assert served - {short.get(name, name) for name in names} - set(own.split()) == set()


@pytest.mark.parametrize("kind", TABLES)
def test_the_scaffolder_names_each_column_that_it_leaves_out(urls, monkeypatch, kind):
    monkeypatch.setenv(VARIABLE, urls[kind])
    # An interval with months is told by the value, and not by the type.
    whole = [f"c{place}" for place, case in enumerate(TABLES[kind]) if stored.MONTHS not in case.refused]
    where = {"query": f"select id, {', '.join(whole)} from held", "connection": VARIABLE}
    new = infer_source("held", "shop.contract", Wanted(where), read_sample(where, None))
    for place, case in enumerate(TABLES[kind]):
        name = f"c{place}"
        if case.by_type:
            assert f" {name}, " in new.notes["contract"]
            assert f"    {name}: " not in new.contract
        elif name in whole:
            assert f"    {name}: pl." in new.contract
    assert new.values["key_columns"] == ["id"]
    assert new.values.get("impossible_moments") == (None if kind == "sqlite" else "missing")


def test_a_key_that_cannot_be_read_is_not_replaced_by_another(urls, monkeypatch):
    monkeypatch.setenv(VARIABLE, urls["postgresql"])
    where = {"query": "select c0 as flag, 'x' as code, '\\x01'::bytea as id from held", "connection": VARIABLE}
    with pytest.raises(
        ScaffoldError, match=r"column 'id' is named like the key and is left out \(bytea: choose encode"
    ):
        infer_source("held", "shop.contract", Wanted(where), read_sample(where, None))


def test_an_infinite_moment_is_in_no_drop_and_counted(urls, orders, monkeypatch):
    from ml_assets.sources.delivery.placement import place_rows

    monkeypatch.setenv(VARIABLE, urls["postgresql"])
    rows = "(1, timestamptz '2024-01-15 12:00+00'), (2, 'infinity'), (3, '-infinity'), (4, null)"
    where = {"query": f"select * from (values {rows}) as t(id, at)", "connection": VARIABLE}
    drops = {"grain": "daily", "column": "at", "start": "2024-01-01"}
    schema = {"id": pl.Int64(), "at": pl.Datetime("us", "UTC")}
    spec = orders(where=where, drops=drops)
    assert list_drops(spec, schema) == ["2024-01-15"]
    with pytest.raises(SourceError, match="declare impossible_moments: missing"):
        read_drops(spec, None, schema)
    spec = orders(where=where, drops=drops, impossible_moments="missing")
    read = read_drops(spec, None, schema)
    assert read["2024-01-15"].frame["id"].to_list() == [1]
    assert place_rows(spec, schema, read).places == {"without at": 3}
