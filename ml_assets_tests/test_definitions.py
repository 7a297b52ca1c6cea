"""The shipped project loads in every tool that loads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets.settings import SettingsError, read_settings
from ml_assets_tests import processes

PROJECT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def run(unused_home):
    """Runs a program of the environment at the project root."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ML_ASSETS", "DAGSTER"))}

    def go(program, *arguments, **environment):
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=PROJECT,
            env={**kept, "ML_ASSETS_HOME": str(unused_home), **environment},
            capture_output=True,
            text=True,
            timeout=200,
        )

    return go


def test_the_tools_find_nothing_wrong(run, unused_home):
    """`dg check defs` also checks the YAML files, as `dg check yaml` does."""
    for done in (
        processes.run("dg", "check", "defs", ML_ASSETS_HOME=unused_home),
        run("dagster", "definitions", "validate"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr


def test_dg_lists_the_assets_checks_and_jobs_and_writes_nothing_into_the_project(unused_home):
    before = files_of_the_project()
    done = processes.run("dg", "list", "defs", "--json", ML_ASSETS_HOME=unused_home)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {"flights/raw", "flight_legs", "features/origin_weather", "flight_delay/champion"} <= {
        asset["asset_key"] for asset in listed["assets"]
    }
    assert listed["asset_checks"]
    assert {job["name"] for job in listed["jobs"]} >= {"flights_ingest", "flights_train", "flights_drop"}
    assert files_of_the_project() == before


def files_of_the_project():
    folders = ("ml_assets", "dbt_project")
    return {path for folder in folders for path in (PROJECT / folder).rglob("*") if "__pycache__" not in path.parts}


def test_the_entry_point_is_short():
    assert len((PROJECT / "ml_assets/definitions.py").read_text().splitlines()) <= 50


def test_an_xgboost_that_scores_wrongly_is_one_clear_error(run, tmp_path):
    old = tmp_path / "xgboost-2.1.4.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: xgboost\nVersion: 2.1.4\n")
    done = run("ml-assets", "summary", "flights", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ml_assets needs XGBoost 3.2 or newer, found xgboost 2.1.4")
    assert "make install" in line
    done = run("dagster", "definitions", "validate", PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    assert "ml_assets needs XGBoost 3.2 or newer, found xgboost 2.1.4" in done.stdout + done.stderr


def test_an_executor_that_does_not_exist_is_named_with_those_there_are(monkeypatch):
    monkeypatch.setenv("ML_ASSETS_EXECUTOR", "dask")
    with pytest.raises(SettingsError, match="ML_ASSETS_EXECUTOR is 'dask'; choose from in_process, multiprocess"):
        read_settings()
