"""Small models, and the programs of the environment of peers."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from ml_assets.handover.formats.base import HandoverCandidate
from ml_assets.registry.model_files import write_model_files

_spec = importlib.util.spec_from_file_location("serving_models", Path(__file__).parents[1] / "serving" / "conftest.py")
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)

models, other = serving.models, serving.other


@pytest.fixture(scope="session")
def more_models():
    """Models of the other kinds."""
    return {
        "lightgbm": serving.fitted("late", "binary", kind="lightgbm", calibration="isotonic"),
        "sklearn": serving.fitted("mood", "multiclass", kind="sklearn:sklearn.ensemble.RandomForestClassifier"),
        "sklearn value": serving.fitted("hours", "regression", kind="sklearn:sklearn.tree.DecisionTreeRegressor"),
    }


@pytest.fixture(scope="session")
def rows() -> pl.DataFrame:
    """With values missing and categories that training has not seen."""
    rows = serving.parcels(60, seed=3).select(serving.FEATURES)
    strange = pl.when(pl.col("km") > 80).then(pl.lit("zoe")).when(pl.col("km") < 10).then(None).otherwise("courier")
    return rows.with_columns(courier=strange, express=pl.when(pl.col("km") < 90).then("express"))


@pytest.fixture
def candidate(tmp_path, rows):
    """What is handed over of a model: version 3, the rows, and, if it was logged, the files that MLflow keeps."""

    def make(model, name: str = "late", *, logged: bool = False) -> HandoverCandidate:
        files = tmp_path / f"{name}_mlflow"
        if logged:
            write_model_files(model, rows, files, model_id="m-1", run_id="r-1")
        return HandoverCandidate(name, "3", model, rows, files)

    return make


@pytest.fixture
def ask():
    """Lets a package's score.py answer rows, in a process of its own that finds nothing of the platform."""

    def answers(folder: Path, rows: list[dict], python: str = sys.executable) -> list[dict]:
        asked = subprocess.run(
            [python, "-B", folder / "score.py"],
            input="\n".join(map(json.dumps, rows)),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        )
        assert asked.returncode == 0, asked.stderr
        return [json.loads(line) for line in asked.stdout.splitlines()]

    return answers


@dataclass(frozen=True)
class Peers:
    """The environment that `make peers` makes."""

    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def environment(self, home: Path) -> dict[str, str]:
        """Nothing of ours, telemetry off, and what they keep in a home below ``home``."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        off = {"BENTOML_DO_NOT_TRACK": "True", "FEAST_USAGE": "False", "DO_NOT_TRACK": "1"}
        return kept | off | {"BENTOML_HOME": str(home / "bentoml"), "HOME": str(home), "OMP_NUM_THREADS": "1"}

    def run(self, name: str, *arguments: str, cwd: Path, timeout: int = 300) -> str:
        done = subprocess.run(
            [self.program(name), *map(str, arguments)], cwd=cwd, env=self.environment(cwd), capture_output=True,
            text=True, check=False, timeout=timeout,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout


def find_peers(patience: float = 900) -> Peers:
    """Return their environment; where they are required, it may still be being installed: wait up to ``patience`` s."""
    folder = Path(__file__).parents[2] / ".venv-peers"
    required = os.environ.get("ML_ASSETS_REQUIRE_PEERS")
    given_up = time.monotonic() + (patience if required else 0)
    while not (folder / "installed").exists():
        if time.monotonic() > given_up:
            missing = f"no environment of peers in {folder}: run `make peers`"
            (pytest.fail if required else pytest.skip)(missing)
        time.sleep(1)
    return Peers(folder)


@pytest.fixture(scope="session")
def peers() -> Peers:
    return find_peers()
