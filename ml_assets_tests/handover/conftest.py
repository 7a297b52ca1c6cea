"""Small models, and the environment of peers."""

import importlib.util
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from ml_assets.handover.formats.base import HandoverCandidate
from ml_assets.registry.model_files import write_model_files
from ml_assets_tests.peers import Peers, find_peers

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


@pytest.fixture
def import_and_ask():
    """Lets a package's score.py answer rows in this process, as a service that imports it does.

    That it answers in a process of its own was seen when the package was written: ``check_answers`` starts one.
    """

    def answers(folder: Path, rows: list[dict]) -> list[dict]:
        known = set(sys.modules)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "dont_write_bytecode", True)
            patch.syspath_prepend(folder)
            try:
                package = runpy.run_path(str(folder / "score.py"))
                return json.loads(json.dumps(package["answer"](json.loads(json.dumps(rows)))))
            finally:
                own = {
                    name for name in sys.modules.keys() - known if name.split(".")[0] in ("estimator", "scoring_core")
                }
                assert {"estimator", "scoring_core"} <= own, "those of another package were there"
                for name in own:
                    del sys.modules[name]

    return answers


@pytest.fixture(scope="session")
def peers() -> Peers:
    return find_peers()
