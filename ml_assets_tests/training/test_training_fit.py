import json

import numpy as np
import polars as pl
import pytest
import xgboost
from sklearn.metrics import f1_score, roc_auc_score

from ml_assets.training.evaluation.explain import contributions, explain
from ml_assets.training.fit import fit_model, load_model, predict, save_model
from ml_assets.training.spec import TrainingSpec
from ml_assets.training.tasks.binary import best_f1_threshold

FEATURES = ["kind", "a", "noise"]


def rows(seed, size=1_500):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {"a": rng.normal(size=size), "noise": rng.normal(size=size), "kind": rng.choice(["x", "y", "z"], size)}
    )
    odds = 1.5 * frame["a"].to_numpy() + np.where(frame["kind"] == "z", 2, -1)
    return frame.with_columns(y=pl.Series(rng.random(size) < 1 / (1 + np.exp(-odds))))


def fit(train=None, seed=1, **changes):
    training = TrainingSpec(threads=1, max_rounds=200, early_stopping_rounds=10).model_copy(update=changes)
    return fit_model(
        rows(0) if train is None else train,
        rows(1),
        features=FEATURES,
        label="y",
        parameters={"max_depth": 3, "learning_rate": 0.3},
        training=training,
        metric="roc_auc",
        seed=seed,
    )


@pytest.fixture(scope="module")
def model():
    return fit()


def test_the_booster_ends_at_its_best_round_on_validation(model):
    validation = rows(1)
    assert model.best_iteration == int(np.argmax(model.history))
    assert len(model.history) == model.best_iteration + 1 + 10
    assert model.booster.num_boosted_rounds() == model.best_iteration + 1
    assert roc_auc_score(validation["y"], predict(model, validation)) == pytest.approx(max(model.history), abs=1e-6)


def test_it_has_learned_something_it_can_use_elsewhere(model):
    fresh = rows(2)
    score = predict(model, fresh)
    assert score.dtype == np.float64
    assert roc_auc_score(fresh["y"], score) > 0.8


def test_scores_equal_xgboosts_own(model):
    fresh = rows(2)
    matrix = xgboost.DMatrix(
        model.encoding.encode(fresh), feature_names=FEATURES, feature_types=["c", "q", "q"], enable_categorical=True
    )
    np.testing.assert_array_equal(predict(model, fresh), model.booster.predict(matrix).astype(np.float64))


def test_scores_do_not_depend_on_batch_row_order_column_order_or_category_codes(model):
    fresh = rows(2).with_row_index()
    expected = predict(model, fresh)
    shuffled = fresh.sample(fraction=1, shuffle=True, seed=1)
    np.testing.assert_array_equal(predict(model, shuffled), expected[shuffled["index"].to_numpy()])
    coded = fresh.with_columns(pl.col("kind").cast(pl.Enum(["z", "y", "x"]))).select(*FEATURES)
    np.testing.assert_array_equal(predict(model, coded), expected)
    np.testing.assert_array_equal(predict(model, fresh[7:8]), expected[7:8])


def test_one_seed_gives_one_model(model):
    fresh = rows(2)
    np.testing.assert_array_equal(predict(fit(), fresh), predict(model, fresh))
    assert not np.array_equal(
        predict(fit(parameters={"subsample": 0.5}, seed=2), fresh), predict(fit(parameters={"subsample": 0.5}), fresh)
    )


def test_no_rows_no_scores(model):
    assert predict(model, rows(2).clear()).shape == (0,)


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_has_the_highest_f1(seed):
    rng = np.random.default_rng(seed)
    score = rng.choice(np.linspace(0, 1, 12), 60)
    label = rng.random(60) < score
    threshold = best_f1_threshold(label, score)
    best = {candidate: f1_score(label, score >= candidate) for candidate in np.unique(score)}
    assert best[threshold] == pytest.approx(max(best.values()))


def test_a_saved_model_scores_identically_and_holds_no_pickle(model, tmp_path):
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    np.testing.assert_array_equal(predict(loaded, rows(2)), predict(model, rows(2)))
    assert (loaded.threshold, loaded.best_iteration, loaded.parameters, loaded.history) == (
        model.threshold,
        model.best_iteration,
        model.parameters,
        model.history,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoding.json", "model.json", "model.ubj"]


def test_an_incomplete_or_mixed_up_model_directory_is_refused(model, tmp_path):
    save_model(model, tmp_path)
    encoding = json.loads((tmp_path / "encoding.json").read_text())
    encoding["features"].reverse()
    (tmp_path / "encoding.json").write_text(json.dumps(encoding))
    with pytest.raises(ValueError, match=r"differ from those of encoding\.json"):
        load_model(tmp_path)
    (tmp_path / "model.ubj").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks \['model.ubj'\]"):
        load_model(tmp_path)


def test_contributions_add_up_to_the_log_odds_of_the_score(model):
    fresh = rows(2, size=50)
    odds = contributions(model, fresh).sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), predict(model, fresh), atol=1e-5)


def test_importance_is_the_mean_absolute_contribution(model):
    fresh = rows(2, size=50)
    found = explain(model, fresh)
    expected = np.abs(contributions(model, fresh))[:, :3].mean(axis=0)
    assert dict(found.select("feature", "importance").iter_rows()) == pytest.approx(
        dict(zip(FEATURES, expected, strict=True))
    )
    assert found["feature"][-1] == "noise"
    assert found["share"].sum() == pytest.approx(1)
    assert explain(model, rows(2), rows=20, seed=3).equals(explain(model, rows(2), rows=20, seed=3))
