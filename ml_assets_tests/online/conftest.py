"""Each kind of online store, empty."""

import importlib.util
from pathlib import Path

import pytest

from ml_assets.online.stores.opening import open_store


def _beside(path: str):
    """A module of the tests that holds none."""
    file = Path(__file__).parent / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    with _beside("redis_server.py").redis_server(str(tmp_path_factory.mktemp("redis") / "log")) as url:
        yield url


@pytest.fixture(scope="session")
def redis_nodes(tmp_path_factory):
    """The addresses of three servers that are a cluster."""
    with _beside("redis_server.py").redis_cluster(tmp_path_factory.mktemp("cluster")) as addresses:
        yield addresses


@pytest.fixture(scope="session")
def postgres_url():
    servers = _beside("../sources/postgres_server.py")
    with servers.postgres_server() as address:
        yield f"postgresql://shop:{servers.ESCAPED}@{address}/postgres"


@pytest.fixture(scope="session")
def empty_postgres(postgres_url):
    """Empties the tables, which is a tenth of making them anew."""
    import psycopg

    store = open_store(postgres_url)
    store.build("any")
    tables = ["builds", "plans", "views", "moments", "facts", "pushes", "pushed", "states", "notes"]
    empty = "".join(f"DELETE FROM ml_assets_online.{table};" for table in tables)
    with psycopg.connect(postgres_url, autocommit=True) as server:

        def make():
            server.execute(f"{empty} TRUNCATE ml_assets_online.refused RESTART IDENTITY")
            return store

        yield make
    store.close()


@pytest.fixture(scope="session")
def empty_redis(redis_url):
    """Empties the server."""
    import redis

    def make():
        with redis.Redis.from_url(redis_url) as server:
            server.flushall()
        return open_store(redis_url)

    return make


@pytest.fixture(scope="session", params=["sqlite", "redis", "postgresql"])
def make_store(request, tmp_path_factory):
    """Makes empty stores of one kind; those made before are gone."""
    if request.param == "sqlite":
        return lambda: open_store(f"sqlite:///{tmp_path_factory.mktemp('online')}/online.db")
    return request.getfixturevalue("empty_postgres" if request.param == "postgresql" else "empty_redis")


@pytest.fixture
def store(make_store):
    made = make_store()
    yield made
    made.close()
