import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine

from ml_assets.addresses import sqlite_path, sqlite_url
from ml_assets.training.search.sqlite_file import create_whole


def test_a_creation_that_fails_leaves_no_database(tmp_path):
    def half(url):
        with closing(sqlite3.connect(sqlite_path(url))) as connection:
            connection.execute("create table first (x)")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        create_whole(tmp_path / "new" / "a.db", half)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.db.lock"]


def test_tables_are_made_once_and_readers_do_not_block_a_writer(tmp_path):
    made = []

    def tables(url):
        made.append(url)
        with closing(sqlite3.connect(sqlite_path(url))) as connection:
            connection.execute("create table first (x)")

    path = tmp_path / "a.db"
    create_whole(path, tables)
    create_whole(path, tables)
    assert len(made) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.execute("select count(*) from first").fetchone() == (0,)


def test_the_disk_is_waited_for_once_and_for_no_other_database(tmp_path):
    waits = {}

    def tables(url):
        for name, address in (("draft", url), ("other", sqlite_url(tmp_path / "other.db"))):
            engine = create_engine(address)
            with engine.connect() as connection:
                waits[name] = connection.exec_driver_sql("pragma synchronous").scalar()
            engine.dispose()

    create_whole(tmp_path / "a.db", tables)
    assert (waits["draft"], waits["other"] > 0) == (0, True)
    tables(sqlite_url(tmp_path / "a.db"))
    assert waits["draft"] > 0


def test_files_of_one_name_are_made_once_and_copied(tmp_path):
    made = []

    def tables(url):
        made.append(url)
        with closing(sqlite3.connect(sqlite_path(url))) as connection:
            connection.execute("create table first (x)")

    for name in ("a.db", "b.db"):
        create_whole(tmp_path / name, tables, named=f"of {tmp_path}")
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
            connection.execute("insert into first values (1)")
            assert connection.execute("select count(*) from first").fetchone() == (1,)
            connection.commit()
    assert len(made) == 1
    create_whole(tmp_path / "c.db", tables)
    assert len(made) == 2
