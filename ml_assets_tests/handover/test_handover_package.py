"""A package answers as its model does, or is not written."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from ml_assets.handover.agreement import Disagreement, check_answers, compare_scores
from ml_assets.handover.package import package_model
from ml_assets.training.calibration.probabilities import Calibration, Curve
from ml_assets.training.fit import calibrated
from ml_assets.training.kinds.xgboost import XGBoostKind
from ml_assets.training.kinds.xgboost_onnx import booster_to_onnx
from ml_assets.training.predictions.scored import scored

pytestmark = pytest.mark.slow

CORE = {f"scoring_core/{name}.py" for name in ("__init__", "answers", "curves", "files", "rows")}
NATIVE = {"model.json", "encoding.json", "score.py", "estimator.py", "requirements.txt", "README.md"} | CORE
SERVICE = NATIVE | {"service.py", "bentofile.yaml", "name.txt"}


def expected(model, rows):
    return scored(rows, model).drop(rows.columns).to_dicts()


def agree(answers, wanted):
    assert len(answers) == len(wanted)
    for answer, want in zip(answers, wanted, strict=True):
        assert list(answer) == list(want)
        for name, value in want.items():
            assert answer[name] == (pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value)


def files(folder):
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("task", ["late", "hours", "mood"])
def test_an_onnx_package_answers_as_the_model(models, rows, candidate, import_and_ask, tmp_path, task):
    written = package_model(candidate(models[task], task), "onnx", tmp_path / "out")
    assert (written.model, written.version, written.format, written.rows) == (task, "3", "onnx", rows.height)
    assert written.difference < 1e-5
    agree(import_and_ask(tmp_path / "out", rows.to_dicts()), expected(models[task], rows))
    assert files(tmp_path / "out") == NATIVE | {"model.onnx"}
    readme = (tmp_path / "out" / "README.md").read_text()
    assert f"# {task}, version 3, as ONNX" in readme
    assert f"{rows.height} holdout rows" in readme


@pytest.mark.parametrize("task", ["late", "hours", "mood"])
def test_a_bentoml_package_answers_exactly_as_the_model(models, rows, candidate, import_and_ask, tmp_path, task):
    written = package_model(candidate(models[task], task), "bentoml", tmp_path / "out")
    assert written.difference == 0
    assert import_and_ask(tmp_path / "out", rows.to_dicts()) == expected(models[task], rows)
    assert files(tmp_path / "out") == SERVICE | {"model.ubj"}


@pytest.mark.parametrize(
    ("kind", "own"),
    [("lightgbm", {"model.lgb"}), ("sklearn", {"model.skops", "trusted.json"}),
     ("sklearn value", {"model.skops", "trusted.json"})],
)  # fmt: skip
def test_every_kind_can_be_a_service_and_only_xgboost_is_onnx(
    more_models, rows, candidate, import_and_ask, tmp_path, kind, own
):
    given = candidate(more_models[kind])
    package_model(given, "bentoml", tmp_path / "out")
    agree(import_and_ask(tmp_path / "out", rows.to_dicts()), expected(more_models[kind], rows))
    assert files(tmp_path / "out") == SERVICE | own
    with pytest.raises(
        ValueError, match=r"version 3 of late: a model of kind .* cannot be written as ONNX: only"
    ) as no:
        package_model(given, "onnx", tmp_path / "onnx")
    assert "\n" not in str(no.value)
    assert not (tmp_path / "onnx").exists()


def test_a_wrong_conversion_is_refused_and_leaves_nothing(models, other, candidate, tmp_path, monkeypatch):
    monkeypatch.setattr(XGBoostKind, "to_onnx", lambda *_: booster_to_onnx(other.estimator))
    before = candidate(models["late"])
    here = sorted(tmp_path.iterdir())
    with pytest.raises(
        ValueError, match=r"version 3 of late is not handed over as onnx: \d+ of 60 holdout rows get anot"
    ):
        package_model(before, "onnx", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == here


def test_a_package_that_fails_or_calls_otherwise_is_refused(models, rows, candidate, tmp_path):
    package_model(candidate(models["late"]), "onnx", tmp_path / "out")
    stricter = dataclasses.replace(models["late"], threshold=models["late"].threshold + 0.3)
    with pytest.raises(Disagreement, match="its prediction does not follow from its scores"):
        check_answers(stricter, rows, tmp_path / "out")
    (tmp_path / "out" / "model.onnx").unlink()
    with pytest.raises(Disagreement, match=r"it fails: .*model\.onnx"):
        check_answers(models["late"], rows, tmp_path / "out")


def test_a_steep_calibration_allows_what_it_makes_of_the_tolerance_and_no_more(models):
    """The curve rises from 0.1 to 0.9 between two scores that are 1e-7 apart: a float32 cannot tell them apart."""
    steep = Calibration(method="isotonic", curves=(Curve(x=(0.0, 0.5, 0.5 + 1e-7, 1.0), y=(0.0, 0.1, 0.9, 1.0)),))
    model = dataclasses.replace(models["late"], calibration=steep)
    own = np.array([0.25, 0.5, 0.75])
    assert compare_scores(model, own, calibrated(model, own + 1e-7)) == pytest.approx(0.8)
    with pytest.raises(Disagreement, match=r"1 of 3 holdout rows get another score, by up to 0\.85"):
        compare_scores(model, own, np.array([0.05, 0.95, 0.95]))
    with pytest.raises(Disagreement, match="1 of 3"):
        compare_scores(model, own, calibrated(model, own) + np.array([1e-4, 0, 0]))


def test_classes_are_allowed_what_their_calibration_makes_of_the_tolerance(models):
    model = models["mood"]
    own = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    moved = own + np.array([[5e-7, -5e-7, 0], [0, 0, 0]])
    assert compare_scores(model, own, calibrated(model, moved)) < 0.5
    with pytest.raises(Disagreement, match="1 of 2"):
        compare_scores(model, own, calibrated(model, own) + np.array([[0, 0, 0], [0.01, -0.01, 0]]))


def test_a_scores_nan_is_another_score(models):
    with pytest.raises(Disagreement, match="1 of 2 holdout rows"):
        compare_scores(models["hours"], np.array([1.0, 2.0]), np.array([1.0, np.nan]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"km": "far"}, "row 1, feature km: must be a number or null, not 'far'"),
        ({"km": True}, "row 1, feature km: must be a number or null, not 'True'"),
        ({"express": 1}, "row 1, feature express: must be true or false or null, not '1'"),
        ({"courier": 3}, "row 1, feature courier: must be text or null, not '3'"),
        ({"km": 1e39}, "features ['km'] hold infinite values or some beyond the range of a float32"),
        ({"weight": 1}, "row 1: there are no features ['weight']"),
    ],
)
def test_a_package_names_a_value_that_does_not_fit(models, candidate, tmp_path, change, why):
    package_model(candidate(models["late"]), "onnx", tmp_path / "out")
    row = {"km": 12.5, "express": False, "courier": "bob"}
    asked = subprocess.run(
        [sys.executable, "-B", tmp_path / "out" / "score.py"], input=f"{json.dumps(row)}\n{json.dumps(row | change)}\n",
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert asked.returncode == 1
    assert why in asked.stderr.splitlines()[-1]


def test_what_is_there_is_never_touched(models, candidate, tmp_path):
    given, out = candidate(models["late"]), tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(ValueError, match=rf"output {re.escape(str(out))}: is there already"):
        package_model(given, "onnx", out)
    assert files(out) == {"mine"}
    (out / "mine").unlink()
    package_model(given, "onnx", out)
    assert "model.onnx" in files(out), "an empty directory is taken"
    with pytest.raises(ValueError, match="is there already"):
        package_model(given, "onnx", out / "model.onnx")
    with pytest.raises(ValueError, match="format pickle: must be one of bentoml, onnx, mlflow-docker"):
        package_model(given, "pickle", tmp_path / "new")


def test_without_holdout_rows_nothing_can_be_tried(models, rows, candidate, tmp_path):
    none = dataclasses.replace(candidate(models["late"]), rows=rows.clear())
    with pytest.raises(LookupError, match="version 3 of late has no holdout rows in the lake to try the package on"):
        package_model(none, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["late", "hours", "mood", "lightgbm", "sklearn"])
def test_mlflows_container_copies_a_model_that_pyfunc_loads(models, more_models, rows, candidate, tmp_path, task):
    import mlflow
    import pandas as pd

    model = (models | more_models)[task]
    written = package_model(candidate(model, task, logged=True), "mlflow-docker", tmp_path / "out")
    assert written.difference < 1e-6
    dockerfile = (tmp_path / "out" / "Dockerfile").read_text()
    (copied,) = re.findall(r"^COPY (\S+) /opt/ml/model$", dockerfile, re.MULTILINE)
    assert dockerfile.count("FROM python:") == 1
    assert f"pip install mlflow=={mlflow.__version__}" in dockerfile
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "out" / copied))
    encoded = model.encoding.encode(rows)
    own = model.raw_scores(encoded)
    told = np.asarray(loaded.predict(pd.DataFrame(encoded, columns=model.features)))
    assert np.allclose(told.reshape(own.shape), own, atol=1e-6)
    assert not {file for file in files(tmp_path / "out") if file.endswith((".pkl", ".pickle", ".joblib"))}


def test_a_container_whose_model_answers_otherwise_is_refused(models, other, candidate, tmp_path):
    given = candidate(models["late"], logged=True)
    wrong = dataclasses.replace(given, model=other)
    with pytest.raises(
        ValueError, match=r"not handed over as mlflow-docker: mlflow\.pyfunc answers otherwise, by up to"
    ):
        package_model(wrong, "mlflow-docker", tmp_path / "out")
    assert not (tmp_path / "out").exists()
