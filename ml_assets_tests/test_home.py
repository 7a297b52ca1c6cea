import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ml_assets.home import DAGSTER_SETTINGS, Home
from ml_assets.settings import read_settings

VARIABLES = (
    "ML_ASSETS_HOME",
    "ML_ASSETS_LAKE",
    "ML_ASSETS_MLFLOW",
    "ML_ASSETS_STUDIES",
    "DAGSTER_HOME",
    "ONLINE_STORE_URL",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The process's environment as it was, whatever a test or the home itself sets."""
    before = dict(os.environ)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    os.environ.clear()
    os.environ.update(before)


def test_everything_lies_under_one_folder(environment, tmp_path):
    environment.setenv("ML_ASSETS_HOME", str(tmp_path))
    home = Home.of(read_settings())
    assert home.root == tmp_path
    assert home.lake == f"{tmp_path}/lake"
    assert home.mlflow == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert home.mlflow_artifacts == f"{tmp_path}/mlflow/artifacts"
    assert home.studies == f"sqlite:///{tmp_path}/studies.db"
    assert home.online_store == f"sqlite:///{tmp_path}/online.db"
    assert home.dagster == tmp_path / "dagster"


def test_by_default_it_is_a_folder_of_the_working_directory(environment, tmp_path):
    environment.chdir(tmp_path)
    assert Home.of(read_settings()).root == tmp_path / ".ml_assets"


def test_a_relative_home_is_made_absolute(environment, tmp_path):
    environment.chdir(tmp_path)
    environment.setenv("ML_ASSETS_HOME", "state")
    assert Home.of(read_settings()).root == tmp_path / "state"


def test_the_lake_mlflow_and_the_studies_may_lie_elsewhere(environment):
    environment.setenv("ML_ASSETS_LAKE", "s3://bucket/lake")
    environment.setenv("ML_ASSETS_MLFLOW", "http://mlflow.example:5000")
    environment.setenv("ML_ASSETS_STUDIES", "postgresql://studies")
    home = Home.of(read_settings())
    assert (home.lake, home.mlflow) == ("s3://bucket/lake", "http://mlflow.example:5000")
    assert home.studies == "postgresql://studies"
    assert home.mlflow_artifacts == ""


def test_preparing_creates_the_folders_and_points_the_tools_at_them(environment, tmp_path):
    environment.setenv("ML_ASSETS_HOME", str(tmp_path / "new" / "home"))
    home = Home.of(read_settings())
    home.prepare()
    assert os.environ["DAGSTER_HOME"] == str(home.dagster)
    assert_settings_placed(home)
    assert Path(home.mlflow_artifacts).is_dir()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_preparing_again_renews_the_settings_and_keeps_the_state(environment, tmp_path):
    environment.setenv("ML_ASSETS_HOME", str(tmp_path))
    home = Home.of(read_settings())
    home.prepare()
    (home.dagster / "dagster.yaml").write_text("an older version's")
    (home.dagster / "runs.db").write_text("runs")
    home.prepare()
    assert_settings_placed(home)
    assert (home.dagster / "runs.db").read_text() == "runs"


def assert_settings_placed(home):
    """The project's settings, and where in this home the events lie."""
    placed = yaml.safe_load((home.dagster / "dagster.yaml").read_text())
    assert placed.pop("event_log_storage")["config"] == {"base_dir": str(home.dagster)}
    assert placed == yaml.safe_load(DAGSTER_SETTINGS.read_text())


def test_the_online_store_may_lie_elsewhere(environment, tmp_path):
    environment.setenv("ML_ASSETS_HOME", str(tmp_path))
    environment.setenv("ONLINE_STORE_URL", "redis://cache:6379/3")
    assert Home.of(read_settings()).online_store == "redis://cache:6379/3"


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "used"), [("", "PASSIVE"), ("active", "ACTIVE")])
def test_threads_of_openmp_do_not_spin_unless_the_user_has_chosen_so(chosen, used):
    script = "from ml_assets.environment import prepare_libraries; prepare_libraries(); import xgboost"
    variables = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    variables |= {"OMP_DISPLAY_ENV": "true"} | ({"OMP_WAIT_POLICY": chosen} if chosen else {})
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True)
    assert f"OMP_WAIT_POLICY = '{used}'" in done.stderr
