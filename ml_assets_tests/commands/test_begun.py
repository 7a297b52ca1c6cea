"""The UI begins with the use cases that were run."""

import dagster as dg
import polars as pl
import pytest

from ml_assets.automation.sensors.drops import drop_sensor
from ml_assets.commands.current import read_current
from ml_assets.commands.init.project import create_project
from ml_assets.commands.ui.begun import split_by_begun
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.project import load_current
from ml_assets.settings import read_settings

SOURCE = """\
type: ml_assets.Source
attributes:
  name: {name}
  description: Rows.
  where: {{path: rows.csv}}
  contract: "two_shops.contracts:Rows"
  key_columns: [id]
"""
CONTRACT = """\
import pandera.polars as pa
import polars as pl


class Rows(pa.DataFrameModel):
    id: pl.Int64
"""


@pytest.fixture
def home(tmp_path, monkeypatch, bare_environment):  # noqa: ARG001
    folder = tmp_path / "two_shops"
    create_project(folder)
    (folder / "two_shops" / "contracts.py").write_text(CONTRACT)
    for name in ("bakery", "grocery"):
        declared = folder / "two_shops" / "defs" / name / "defs.yaml"
        declared.parent.mkdir()
        declared.write_text(SOURCE.format(name=f"{name}_rows"))
    monkeypatch.setenv("ML_ASSETS_HOME", str(folder / "home"))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    load_current.cache_clear()
    yield Home.of(read_settings())
    load_current.cache_clear()


def test_what_was_run_is_watched_and_the_rest_waits_until_it_is_named(home):
    declared, lake = read_current(read_settings()), Lake(home.lake)
    assert split_by_begun(declared, lake) == (["bakery", "grocery"], [])  # nothing was: all begin
    lake.replace("bakery_rows/raw", pl.DataFrame({"id": [1]}))
    assert split_by_begun(declared, lake) == (["bakery"], ["grocery"])
    assert split_by_begun(declared, lake, ["grocery"]) == (["grocery"], ["bakery"])
    with pytest.raises(ValueError, match="no use case 'butcher' under defs/; there are bakery, grocery"):
        split_by_begun(declared, lake, ["butcher"])


@pytest.mark.parametrize(
    ("begun", "running"), [("", True), ("bakery", True), ("grocery,bakery", True), ("grocery", False)]
)
def test_a_sensor_for_drops_runs_from_the_start_where_its_use_case_is_watched(monkeypatch, begun, running):
    monkeypatch.setenv("ML_ASSETS_BEGUN", begun)
    status = drop_sensor("bakery", [], 30, read_settings().watches("bakery")).default_status
    assert status == (dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED)
