import sqlite3
from contextlib import closing

import pytest

from ml_assets.addresses import sqlite_path
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
