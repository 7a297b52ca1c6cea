"""A package that is installed adds a model kind: it can be declared, trained, registered, served and handed over."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from ml_assets.handover.formats.base import HANDOVER_FORMATS, HandoverCandidate, HandoverFormat
from ml_assets.handover.package import package_model
from ml_assets.registry.model_files import write_model_files
from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.scoring.predictor import Predictor
from ml_assets.training.evaluation.explain import explain, importance_unit
from ml_assets.training.fit import fit_model
from ml_assets.training.kinds.base import MODEL_KINDS, find_kind
from ml_assets.training.predictions.scored import scored
from ml_assets.training.search.search import search_parameters
from ml_assets.training.spec import ModelSpec, SearchSpec, TrainingSpec

SITE = Path(__file__).parent / "installed_kind"
DECLARATION = {
    "name": "late",
    "description": "Whether it is late.",
    "kind": "nearest",
    "spine": {"table": "shop/orders", "key": ["id"], "time": "at"},
    "label": {"column": "late", "known_at": "known_at"},
    "features": ["order"],
    "split": {"validation": "7d", "holdout": "7d", "gap": "1d"},
}
FEATURES = ["km", "noise", "express"]


@pytest.fixture(scope="module", autouse=True)
def installed():
    """The package on the path, as `pip install` would put it there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        patch.setattr(MODEL_KINDS, "_loaded", {})
        patch.delitem(MODEL_KINDS.__dict__, "_installed", raising=False)
        yield
        MODEL_KINDS.__dict__.pop("_installed", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "nearest_kind"]:
        del sys.modules[name]


def rows(seed, size=300):
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {"km": random.normal(size=size), "noise": random.normal(size=size) / 10, "express": random.random(size) < 0.5}
    )
    late = frame["km"].to_numpy() + frame["express"].to_numpy() + random.normal(size=size) / 2 > 0.5
    return frame.with_columns(late=pl.Series(late))


@pytest.fixture(scope="module")
def model():
    return fit_model(
        rows(0), rows(1), features=FEATURES, label="late", parameters={"neighbours": 9}, training=TrainingSpec(),
        metric="roc_auc", seed=0, kind="nearest",
    )  # fmt: skip


def test_it_is_declared_like_any_other():
    spec = ModelSpec.model_validate(DECLARATION)
    assert list(spec.search.space) == ["neighbours"]
    with pytest.raises(ValidationError, match="kind: nearest does not fit the task regression"):
        ModelSpec.model_validate(DECLARATION | {"task": "regression"})
    with pytest.raises(ValidationError, match=r"training\.parameters\.metric: is set by metric"):
        ModelSpec.model_validate(DECLARATION | {"training": {"parameters": {"metric": "cosine"}}})
    with pytest.raises(ValidationError, match=r"no kind 'nearer': choose xgboost, lightgbm, nearest, or sklearn: and"):
        ModelSpec.model_validate(DECLARATION | {"kind": "nearer"})
    with pytest.raises(ValueError, match="no kind 'nearest:most'"):
        find_kind("nearest:most")


def test_it_learns_what_scikit_learn_learns(model, tmp_path):
    fresh = rows(2)
    peer = KNeighborsClassifier(9).fit(rows(0).select(FEATURES).to_numpy(), rows(0)["late"])
    expected = peer.predict_proba(fresh.select(FEATURES).to_numpy())[:, 1]
    found = scored(fresh, model)
    np.testing.assert_allclose(found["score"], expected, atol=1e-12)
    np.testing.assert_array_equal(found["prediction"], expected >= model.threshold)
    assert model.history == [pytest.approx(roc_auc_score(rows(1)["late"], scored(rows(1), model)["score"]))]
    assert explain(model, fresh)["feature"][-1] == "noise"
    assert importance_unit(model) == "mean |change of the score| when shuffled"
    tuned = search_parameters(
        rows(0), rows(1), model="late", features=FEATURES, label="late", seed=0, metric="roc_auc", kind="nearest",
        search=SearchSpec(trials=2, space=find_kind("nearest").default_space()), training=TrainingSpec(),
        storage=f"sqlite:///{tmp_path}/studies.db",
    )  # fmt: skip
    assert 5 <= tuned.parameters["neighbours"] <= 25


@pytest.mark.slow
def test_it_is_registered_loaded_and_served(model, tmp_path):
    import mlflow
    import pandas as pd

    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/models", "training")
    origin = RunOrigin(
        dagster_run_id="", code_commit="", code_changed=False, platform="0", table_versions={}, declaration={}
    )
    with registry.training_run("train late", origin) as run:
        logged = run.log_model("late", model, rows(1))
    version = registry.register("late", logged, description="first", tags={})
    loaded, fresh = registry.load("late", version=version.version), rows(2).select(FEATURES)
    expected = scored(fresh, model).drop(FEATURES).to_dicts()
    assert scored(fresh, loaded).drop(FEATURES).to_dicts() == expected
    by_mlflow = mlflow.pyfunc.load_model(version.location)
    encoded = pd.DataFrame(model.encoding.encode(fresh), columns=FEATURES)
    np.testing.assert_array_equal(by_mlflow.predict(encoded), [row["score"] for row in expected])
    predictor = Predictor(loaded)
    answer = predictor.predict(predictor.encode_rows(fresh.head(1).to_dicts()))
    assert {name: values[0] for name, values in answer.items()} == expected[0]


def test_it_is_handed_over_without_the_platform_and_without_its_own_package(model, tmp_path):
    candidate = HandoverCandidate("late", "1", model, rows(2), tmp_path)
    written = package_model(candidate, "bentoml", tmp_path / "service")
    assert (written.rows, written.difference) == (300, 0)
    assert "nearest_kind" not in (tmp_path / "service/score.py").read_text()
    told = "a model of kind nearest cannot be written as ONNX: only xgboost can; choose bentoml or mlflow-docker"
    with pytest.raises(ValueError, match=told):
        package_model(candidate, "onnx", tmp_path / "graph")


def test_a_kind_that_scores_with_the_platform_alone_is_pointed_to_the_formats_that_take_it(
    model, tmp_path, monkeypatch
):
    monkeypatch.setattr(MODEL_KINDS.get("nearest"), "scorer_module", None)
    told = "a model of kind nearest cannot score without the platform; choose mlflow-docker"
    with pytest.raises(ValueError, match=told):
        package_model(HandoverCandidate("late", "1", model, rows(2), tmp_path), "bentoml", tmp_path / "service")


def test_a_kind_that_writes_no_file_to_load_from_is_refused_when_it_is_logged(model, tmp_path, monkeypatch):
    monkeypatch.setattr(MODEL_KINDS.get("nearest"), "save_mlflow", lambda *_, **__: (tmp_path / "files").mkdir())
    with pytest.raises(ValueError, match=r"kind nearest: save_mlflow wrote no model\.npz into the model's directory"):
        write_model_files(model, rows(1), tmp_path / "files", model_id="m", run_id="r")
    assert list((tmp_path / "files").iterdir()) == []


class Listing(HandoverFormat):
    """A toy format: the features in a text file."""

    def write(self, candidate, folder):
        (folder / "features.txt").write_text("\n".join(candidate.model.features))
        return 0.0

    def readme(self, candidate, difference):
        return f"{candidate.name}, {difference:g} apart"


def test_a_hand_over_format_is_added_by_one_class(model, tmp_path):
    HANDOVER_FORMATS.register("listing", Listing)
    try:
        written = package_model(HandoverCandidate("late", "1", model, rows(2), tmp_path), "listing", tmp_path / "out")
        assert written.format == "listing"
        assert (tmp_path / "out/features.txt").read_text().splitlines() == FEATURES
        assert (tmp_path / "out/README.md").read_text() == "late, 0 apart"
    finally:
        HANDOVER_FORMATS.unregister("listing")
