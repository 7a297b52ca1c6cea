"""Paths as addresses: every way in which state is reached, in folders of every name."""

import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from ml_assets.addresses import artifact_uri, local_path, require_fit, sqlite_path, sqlite_url, without_secrets
from ml_assets.lake import Lake
from ml_assets.online.stores.opening import open_store
from ml_assets.training.search.study_storage import open_storage

ODD = ["my home", "a#b", "ü", "日本", "100%", "a&b;c", "it's", "{a}", "$a", "a+b,c", "a:b", " a", 'q"q']
UNFIT = ["a?b", "%20", "a[b", "a]b", "a|b", "a^b", "a\\b", "a=b", "a\nb"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////folder/a.db", Path("/folder/a.db")),
        ("sqlite:///a.db", Path("a.db")),
        ("sqlite:////folder/a.db?timeout=3", Path("/folder/a.db")),
        ("sqlite:///:memory:", None),
        ("sqlite:///", None),
        ("postgresql://host/base", None),
    ],
)
def test_the_file_behind_a_url(url, path):
    assert sqlite_path(url) == path


@pytest.mark.parametrize("name", ODD)
def test_sqlalchemy_opens_the_file_that_the_url_was_made_of(tmp_path, name):
    from sqlalchemy import create_engine, text

    path = tmp_path / name / "a.db"
    path.parent.mkdir()
    engine = create_engine(sqlite_url(path))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    engine.dispose()
    assert sqlite_path(sqlite_url(path)) == path
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]


@pytest.mark.parametrize("name", ODD)
def test_a_folder_is_an_artifact_uri_and_back(tmp_path, name):
    from mlflow.utils.file_utils import local_file_uri_to_path

    folder = tmp_path / name
    assert local_path(artifact_uri(str(folder))) == folder
    assert local_file_uri_to_path(artifact_uri(str(folder))) == str(folder)
    assert local_path(str(folder)) == folder


@pytest.mark.parametrize("name", ["a#b", "ü", "{a}", "100%"])
def test_studies_lie_where_their_url_says(tmp_path, name):
    import optuna

    url = sqlite_url(tmp_path / name / "studies.db")
    optuna.create_study(study_name="x", storage=open_storage(url))
    assert open_storage(url).get_all_studies()[0].study_name == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_another_url_stays_and_is_no_folder():
    assert artifact_uri("s3://bucket/models/") == "s3://bucket/models"
    assert local_path("s3://bucket/models") is None


@pytest.mark.parametrize("name", ODD)
def test_a_table_lies_where_it_is_looked_for(tmp_path, name):
    require_fit(tmp_path / name, "the home")
    lake = Lake(str(tmp_path / name / "lake"))
    rows = pl.DataFrame({"drop": ["a", "b c"], "x": [1, 2]})
    lake.replace("shop/orders", rows, {"drop": ["a", "b c"]})
    lake.replace("shop/orders", rows[1:].with_columns(x=3), {"drop": ["b c"]})
    lake.append("shop/orders", rows[:1], ["drop"])
    assert (tmp_path / name / "lake/shop/orders/_delta_log").is_dir()
    assert sorted(lake.scan("shop/orders").collect().rows()) == [("a", 1), ("a", 1), ("b c", 3)]
    assert lake.scan("shop/orders").filter(drop="b c").collect()["x"].to_list() == [3]
    assert lake.scan("shop/orders", version=0).collect()["x"].sort().to_list() == [1, 2]
    assert lake.partitions("shop/orders", "drop") == ["a", "b c"]
    assert lake.compact("shop/orders") > 0


@pytest.mark.parametrize("name", ODD)
def test_the_online_store_lies_where_its_url_says(tmp_path, name):
    open_store(sqlite_url(tmp_path / name / "online.db")).close()
    assert (tmp_path / name / "online.db").is_file()


@pytest.mark.parametrize("name", UNFIT)
def test_a_path_that_cannot_be_an_address_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(ValueError, match="take for something else: name a folder without") as caught:
        require_fit(tmp_path / name, "the home")
    assert str(caught.value).count("\n") == (name == "a\nb")
    with pytest.raises(ValueError, match="the lake"):
        Lake(str(tmp_path / name))


def test_a_database_after_a_question_mark_is_refused():
    with pytest.raises(ValueError, match=r"without [?]"):
        sqlite_url(Path("/a?b/c.db"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://bob:s3cret@host:5000/path", "http://host:5000/path"),
        ("postgresql://token@db/mlflow", "postgresql://db/mlflow"),
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("sqlite:////home/mlflow.db", "sqlite:////home/mlflow.db"),
        ("sqlite:////home/my data/a@b.db", "sqlite:////home/my data/a@b.db"),
        ("redis-cluster://u:s3cret@a:1,b:2/0?eviction=allowed", "redis-cluster://a:1,b:2/0?eviction=allowed"),
        ("nats://u:s3cret@a:1,u:s3cret@b:2/S", "nats://a:1,b:2/S"),
        ("rediss://:s3cret@[::1]:6379/0", "rediss://[::1]:6379/0"),
        ("redis://h/0?Password=s3cret&password_file=/f&db=1", "redis://h/0?Password=***&password_file=/f&db=1"),
        ("postgresql://h/d?sslpassword=s3cret", "postgresql://h/d?sslpassword=***"),
        ("postgresql://u:s3,c#ret@h/d", "postgresql://h/d"),
        ("http://bob:s3/cret@host:5000", "http://..."),
        ("kafka://bob:s3@cret@host", "kafka://..."),
        ("orders, of http://bob:s3cret@host", "orders, of http://host"),
        ("s3cret", "s3cret"),
    ],
)
def test_an_address_is_shown_without_what_lets_one_in(url, shown):
    assert without_secrets(url) == shown
