"""What is handed over is found in registry and lake."""

import json
import subprocess

import polars as pl
import pytest
from typer.testing import CliRunner

from ml_assets.cli import app
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.project import load_current
from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.settings import read_settings
from ml_assets.training.predictions.scored import scored
from ml_assets_tests import processes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory, models, other):
    """Two versions of `late`, the first one champion, and the holdout rows of each."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(root))
        place = Home.of(read_settings())
        (root / "mlflow" / "artifacts").mkdir(parents=True)
        registry = Registry(place.mlflow, place.mlflow_artifacts, "ml_assets")
        rows = pl.DataFrame({"km": [1.0, 50.0, None], "express": [True, False, None], "courier": ["ann", "bob", "zoe"]})
        for version, model in enumerate([models["late"], other], start=1):
            with registry.training_run("late", RunOrigin()) as run:
                registry.register("late", run.log_model("late", model, rows))
            reference = scored(rows, model).with_columns(model_version=pl.lit(str(version)))
            Lake(place.lake).replace("late/reference", reference.with_columns(_as_of=pl.lit(f"{version}")),
                                     {"_as_of": [f"{version}"]})  # fmt: skip
        registry.promote("late", "1")
        yield root


def run(home, *arguments: object):
    load_current.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ML_ASSETS_PROJECT", raising=False)
        patch.setenv("ML_ASSETS_HOME", str(home))
        patch.setenv("DAGSTER_HOME", "")
        return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_champion_is_packaged_and_any_version_by_name(home, tmp_path, ask, models, other):
    for version, model in (("", models["late"]), ("2", other)):
        out = tmp_path / f"out{version}"
        done = run(home, "package", "late", "--format", "onnx", "--output", out, "--version", version, "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert (told["model"], told["version"], told["rows"]) == ("late", version or "1", 3)
        (answer,) = ask(out, [{"km": 12.5, "express": False, "courier": "bob"}])
        row = pl.DataFrame({"km": [12.5], "express": [False], "courier": ["bob"]})
        assert answer["score"] == pytest.approx(scored(row, model)["score"].item(), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "why", "code"),
    [
        (["late", "--version", "7"], "error: model late has no version 7: there are 1, 2", 1),
        (["early"], "error: no version of model early is its champion: promote one, or name a --version", 1),
        (["early", "--version", "1"], "error: model early has no version 1: there are none", 1),
        (["late", "--format", "pmml"], "error: format pmml: must be one of bentoml, onnx, mlflow-docker", 2),
    ],
)
def test_what_is_not_there_is_one_line(home, tmp_path, arguments, why, code):
    name, *rest = arguments
    form = [] if "--format" in rest else ["--format", "onnx"]
    done = run(home, "package", name, "--output", tmp_path / "out", *form, *rest)
    assert (done.exit_code, done.stderr.strip()) == (code, why)


def started(home, *arguments: object) -> subprocess.CompletedProcess[str]:
    return processes.run("ml-assets", *arguments, timeout=120, ML_ASSETS_HOME=home)


def test_a_use_case_without_views_is_told(home, tmp_path):
    done = started(home, "feast-export", "fish", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "no feature view is declared under defs/fish; there are some of churn, " in done.stderr
    done = started(home, "feast-export", "flights", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "is not in the lake" in done.stderr
