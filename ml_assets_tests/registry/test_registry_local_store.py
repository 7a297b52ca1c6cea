"""A registry that only is looked at: nothing is made, and what cannot be read is told."""

import sqlite3
from contextlib import closing

import pytest

from ml_assets.registry.registry import Registry
from ml_assets.registry.store.local import RegistryUnreadable


def opened(tmp_path):
    return Registry(f"sqlite:///{tmp_path}/mlflow/mlflow.db", str(tmp_path / "artifacts"), "tests")


def test_who_only_looks_makes_no_registry(tmp_path):
    registry = opened(tmp_path)
    assert registry.champion("returns") is None
    assert registry.versions("returns") == []
    assert registry.rolled_back_at("returns") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["text", "another database"])
def test_a_file_that_is_no_registry_is_told_in_one_line(tmp_path, content):
    file = tmp_path / "mlflow" / "mlflow.db"
    file.parent.mkdir()
    if content == "text":
        file.write_text("no database at all " * 100)
    else:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE other (id INTEGER)")
    with pytest.raises(RegistryUnreadable, match=r"the registry .*mlflow\.db cannot be read \(.*\): put back a copy"):
        opened(tmp_path).champion("returns")


def test_a_database_that_is_none_is_told_in_one_line_where_homes_keep_it(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"no database" * 100)
    registry = Registry(f"sqlite:///{path}", str(tmp_path / "artifacts"), "training")
    with pytest.raises(RegistryUnreadable, match="cannot be read"):
        registry.champion("returns")
