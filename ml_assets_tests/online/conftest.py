"""Each kind of online store, empty."""

import importlib.util
from pathlib import Path

import pytest

from ml_assets.online.stores.opening import open_store


def _redis_server_of(path: Path):
    spec = importlib.util.spec_from_file_location("redis_server", Path(__file__).parent / "redis_server.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.redis_server(str(path))


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    with _redis_server_of(tmp_path_factory.mktemp("redis") / "log") as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "redis"])
def make_store(request, tmp_path_factory):
    """Makes empty stores of one kind; those made before are gone."""
    if request.param == "sqlite":
        return lambda: open_store(f"sqlite:///{tmp_path_factory.mktemp('online')}/online.db")
    url = request.getfixturevalue("redis_url")

    def make():
        import redis

        with redis.Redis.from_url(url) as server:
            server.flushall()
        return open_store(url)

    return make


@pytest.fixture
def store(make_store):
    made = make_store()
    yield made
    made.close()
