"""The tutorial, executed as it stands: its blocks of code and commands, in order, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from ml_assets.lake import Lake

pytestmark = pytest.mark.slow

TUTORIAL = Path(__file__).parents[2] / "docs" / "your-own-model.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which every block was executed, and what each command printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ML_ASSETS", "DAGSTER", "MLFLOW", "PYTHONPATH"))}
    environment = {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}
    names: dict = {}
    printed: dict[str, str] = {}
    here = folder
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, block in BLOCK.findall(TUTORIAL.read_text()):
            if language == "python":
                exec(compile(block, TUTORIAL.name, "exec"), names)
                continue
            for command in block.splitlines():
                if command.startswith("cd "):
                    here = here / command.removeprefix("cd ")
                    continue
                done = subprocess.run(
                    ["bash", "-c", command], cwd=here, env=environment, capture_output=True, text=True, timeout=300
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
                printed[command] = done.stdout + done.stderr
    return here, printed


def test_the_declarations_are_found_right(followed):
    _, printed = followed
    assert "All component YAML validated successfully" in printed["dg check yaml"]


def test_a_try_measures_the_model_and_suspects_no_feature(followed):
    told = followed[1]["ml-assets try late_parcel"]
    (auc,) = re.findall(r"roc_auc +([\d.]+) +0\.5000", told)
    assert 0.7 < float(auc) < 0.9
    assert "yes" not in told


def test_every_month_after_the_training_is_scored_and_watched(followed):
    folder, printed = followed
    told = json.loads(printed["ml-assets summary delivery --json"])["late_parcel"]
    assert [drop["drop"] for drop in told["drops"]] == ["2024-05", "2024-06", "2024-07"]
    assert [drop["rows"] for drop in told["drops"]] == [31 * 40, 30 * 40, 31 * 40]
    assert all(drop["champion"] and 0.65 < drop["realised"] < 0.9 and drop["estimated"] for drop in told["drops"])
    lake = Lake(str(folder / ".ml_assets" / "lake"))
    assert lake.scan("late_parcel/predictions").select(pl.len()).collect().item() == 92 * 40
    reports = sorted(path.name for path in (folder / ".ml_assets" / "lake" / "late_parcel" / "reports").glob("*.html"))
    assert reports == ["2024-05.html", "2024-06.html", "2024-07.html"]


def test_a_month_that_comes_in_later_is_the_only_one_that_is_run(followed):
    told = followed[1]["ml-assets run delivery --train-as-of 2024-05-01"]
    assert next(line.split(":")[0] for line in told.splitlines() if line.startswith("✓")) == "✓ 2024-07"
    assert told.count("nothing has changed") >= 4


def test_the_status_names_the_champion(followed):
    assert "late_parcel" in followed[1]["ml-assets status"]
