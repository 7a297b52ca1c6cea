"""The tutorial, executed as it stands: its blocks of code and commands, in order, in an empty folder."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets_tests.processes import MAIN

UV = Path(sys.executable).parent / "uv"
PROJECT = Path(__file__).parents[2]
TUTORIAL = PROJECT / "docs" / "your-own-model.md"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def followed(installed, tmp_path_factory):
    """The folder in which every block was executed, and what each command printed.

    A program is started by its script once, and afterwards forked off a process of the same installation.
    """
    folder = tmp_path_factory.mktemp("tutorial")
    names: dict = {}
    printed: dict[str, str] = {}
    here, started = folder, set()
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
                program, *arguments = shlex.split(command)
                if program in started:
                    printed[command] = installed.fork(program, *arguments, cwd=here)
                    continue
                printed[command] = installed.run("bash", "-c", command, cwd=here)
                started |= {program} & MAIN.keys()
    return here, printed


def test_the_platform_is_the_installed_wheel_alone(installed, tmp_path):
    where = "import ml_assets, sys; print(ml_assets.__file__, *sys.path, sep='\\n')"
    package, *path = installed.run(installed.python, "-c", where, cwd=tmp_path).splitlines()
    assert Path(package).is_relative_to(installed.folder)
    assert not any(Path(entry).is_relative_to(PROJECT) for entry in path if entry)


def test_the_wheel_holds_what_is_needed_at_run_time_and_no_test(installed):
    with zipfile.ZipFile(installed.wheel) as wheel:
        held = set(wheel.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "ml_assets", "dbt_project"], cwd=PROJECT, capture_output=True, text=True
    )
    needed = {
        name if name.startswith("ml_assets/") else f"ml_assets/{name}" for name in tracked.stdout.split("\0") if name
    }
    assert needed - held - {"ml_assets/dbt_project"} == set()
    assert not [name for name in held if not name.startswith(("ml_assets/", "ml_assets-"))]


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


def test_the_projects_own_test_passes_on_what_was_declared(followed, installed):
    folder, _ = followed
    printed = installed.run(
        UV, "run", "--no-sync", "--offline", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder,
        UV_PROJECT_ENVIRONMENT=str(installed.folder),
    )  # fmt: skip
    assert "1 passed" in printed


@pytest.fixture(scope="module")
def answers(followed, installed, tmp_path_factory):
    """GETs or POSTs to the installed server, which answers for the tutorial's model, its view online."""
    (folder, _), output = followed, tmp_path_factory.mktemp("server")
    view = folder / "courier/defs/delivery/courier/defs.yaml"
    view.write_text(re.sub(r"^  #online:$", "  online: {max_age: 30d}", view.read_text(), flags=re.MULTILINE))
    installed.fork("ml-assets", "online", "delivery", cwd=folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = installed.start("ml-assets", "serve", "late_parcel", "--replay", "--port", port, cwd=folder, output=output)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for _ in range(600):
            try:
                if client.get("/v2/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert server.poll() is None, server.stderr
            time.sleep(0.2)
        yield client
    server.terminate()
    server.wait(60)


def test_the_installed_server_answers_with_the_features_of_the_courier(answers):
    row = {"parcel": "202408-00101", "courier": "dan", "km": 9.5}
    answered = answers.post("/v1/models/late_parcel/predict", json={"as_of": "2024-08-05T00:00:00Z", "rows": [row]})
    assert answered.status_code == 200, answered.text
    (prediction,) = answered.json()["predictions"]
    assert 0 < prediction["score"] < 1
    # Nothing was reported after the last delivery, days before.
    assert prediction["features"]["courier"]["state"] == "stale"
    assert "2024-08-01" < prediction["features"]["courier"]["complete_until"] < "2024-08-05"


def test_the_installed_server_shows_its_interface(answers):
    assert "/v1/models/late_parcel/predict" in answers.get("/openapi.json").json()["paths"]
    page = answers.get("/docs")
    assert page.status_code == 200
    for address in re.findall(r"(?:src|href)=\"(/[^\"]+)\"", page.text):
        assert answers.get(address).status_code == 200, address


def test_an_example_with_sql_loads_from_the_wheel(installed, tmp_path):
    installed.fork("ml-assets", "init", "north", "--example", "flights", cwd=tmp_path)
    printed = installed.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "north")
    assert "1 passed" in printed
    declared = (tmp_path / "north/pyproject.toml").read_text()
    assert f'ml_assets = {{ path = "{installed.wheel}" }}' in declared
