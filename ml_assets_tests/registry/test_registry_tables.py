import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ml_assets.addresses import sqlite_url
from ml_assets.registry.store import database


def contents(path: Path) -> list[str]:
    """What the database holds, but for the moments of its creation and the order that MLflow lists constraints in."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE experiments SET creation_time = 0, last_update_time = 0")
        return sorted(
            "".join(sorted(line.strip(" \t,") for line in each.splitlines())) for each in connection.iterdump()
        )


@pytest.mark.slow
def test_the_copied_tables_of_the_tests_are_those_that_mlflow_creates(tmp_path, tracking_tables):
    copied, created = tmp_path / "copied.db", tmp_path / "created.db"
    database.create_tables(sqlite_url(copied), str(tmp_path / "models"))
    tracking_tables(sqlite_url(created), str(tmp_path / "models"))
    assert contents(copied) == contents(created)
