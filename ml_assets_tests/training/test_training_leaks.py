import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.training.leaks import suspicious_features


def rows(seed, size=4_000):
    rng = np.random.default_rng(seed)
    y = rng.random(size) < 0.3
    return pl.DataFrame(
        {
            "y": y,
            "noise": rng.normal(size=size),
            "many": rng.integers(0, 2_000, size).astype(str),
            "honest": y + rng.normal(0, 2, size),
            "copied": y.astype(float),
            "known_only_if_positive": pl.Series(rng.normal(size=size)).scatter(np.flatnonzero(~y), None),
            "u_shaped": np.where(y, rng.choice([-1, 1], size) * rng.uniform(1, 2, size), rng.uniform(-1, 1, size)),
            "status": np.where(y, "closed", "open"),
        }
    )


def test_planted_leaks_of_every_shape_are_found_and_honest_features_are_not():
    train, holdout = rows(0), rows(1)
    features = [name for name in train.columns if name != "y"]
    found = suspicious_features(train, holdout, features=features, label="y", limit=0.9, seed=0)
    assert set(found.filter("suspicious")["feature"]) == {"copied", "known_only_if_positive", "u_shaped", "status"}
    alone = dict(found.select("feature", "roc_auc").iter_rows())
    assert alone["copied"] == alone["status"] == alone["known_only_if_positive"] == 1.0
    assert alone["honest"] == pytest.approx(roc_auc_score(holdout["y"], holdout["honest"]), abs=0.02)
    assert alone["noise"] == pytest.approx(0.5, abs=0.04)
    assert alone["many"] == pytest.approx(0.5, abs=0.04)
    assert found["limit"].unique().to_list() == [0.9]


def test_a_feature_without_any_value_is_judged_too():
    frame = rows(0).select("y", empty=pl.lit(None, pl.Float64))
    found = suspicious_features(frame, frame, features=["empty"], label="y", limit=0.9, seed=0)
    assert found.row(0) == ("empty", 0.5, 0.9, False)
