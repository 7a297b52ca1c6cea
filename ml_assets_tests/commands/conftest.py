import os

import pytest

from ml_assets.home import Home
from ml_assets.settings import read_settings


@pytest.fixture
def bare_environment():
    """The environment without anything of ours, and put back afterwards: commands leave their home in it."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("ML_ASSETS", "DAGSTER"))]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def own_home(tmp_path_factory):
    """A prepared home, named by this process's environment until the module is done."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("ML_ASSETS", "DAGSTER"))]:
        del os.environ[name]
    # Letters that an address must not take for its own.
    os.environ["ML_ASSETS_HOME"] = str(tmp_path_factory.mktemp("home") / "my home, ü#1 {a} 100%")
    home = Home.of(read_settings())
    home.prepare()
    yield home
    os.environ.clear()
    os.environ.update(before)
