"""A console over declarations and a lake, in this process."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ml_assets.console.app import make_app
from ml_assets.console.stores import Stores
from ml_assets.declarations.project import DeclaredProject
from ml_assets.lake import Lake
from ml_assets.public.project import Project
from ml_assets.serving.access.admission import Admission
from ml_assets.serving.access.key_file import KeyFile

NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
ADDRESS = "http://localhost:3001"
HOSTILE = '"><script>alert(1)</script>'
"""A name as data may bring it; no page shows it as markup."""


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


def open_stores_over(lake, *declared, registry=None, now=NOW):
    """Open the stores of declarations over a lake."""
    project = DeclaredProject([("shop", each) for each in declared])
    return Stores(Project(Path(lake.root), project, lake, lambda: registry), lambda: now)


@pytest.fixture
def stores_of(lake):
    """Opens the stores of declarations over the lake, or another one."""

    def open_stores(*declared, over=None, **more):
        return open_stores_over(over or lake, *declared, **more)

    return open_stores


@pytest.fixture
def console(stores_of):
    """Opens a console over declarations and the lake; without keys everybody is let in.

    Further routes and the admission are for tests of the console itself.
    """

    def open_client(*declared, registry=None, over=None, now=NOW, admission=None, routes=(), **options):
        app = make_app(stores_of(*declared, registry=registry, over=over, now=now), admission or Admission())
        app.router.routes += routes
        return TestClient(app, base_url=ADDRESS, follow_redirects=False, **options)

    return open_client


@pytest.fixture
def keys(tmp_path):
    """A file of keys, and the keys that may read and change."""
    file = KeyFile(tmp_path / "keys.json")
    secrets = {scope: file.add(f"who-{scope}", [scope])[1] for scope in ("read", "admin", "predict")}
    return file, secrets
