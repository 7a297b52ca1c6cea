import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.training.evaluation.leaks.alone import suspicious_features
from ml_assets.training.metrics.concordance import concordance


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


# Several classes, and numbers


def test_a_leak_of_a_class_is_found():
    def drawn(seed):
        rng = np.random.default_rng(seed)
        codes = rng.choice(3, 3_000, p=[0.5, 0.3, 0.2])
        named = pl.Series(codes).replace_strict({0: "a", 1: "b", 2: "c"})
        return pl.DataFrame({"y": named, "copied": codes, "honest": codes + rng.normal(0, 2, 3_000)}).with_columns(
            noise=pl.Series(rng.normal(size=3_000))
        )

    features = ["noise", "honest", "copied"]
    found = suspicious_features(drawn(0), drawn(1), features=features, label="y", limit=0.9, seed=0, task="multiclass")
    assert found["feature"].to_list() == ["copied", "honest", "noise"]
    assert found["suspicious"].to_list() == [True, False, False]
    assert found["roc_auc_ovr"].to_list() == pytest.approx([1.0, 0.62, 0.5], abs=0.05)


def test_a_leak_of_a_number_is_found_whatever_its_scale_or_shape():
    def drawn(seed):
        rng = np.random.default_rng(seed)
        y = rng.standard_t(2, 3_000) * 10
        return pl.DataFrame(
            {
                "y": y,
                "noisy_copy": y + rng.normal(0, 0.5, 3_000),
                "squashed": np.arctan(-y),
                "honest": y + rng.normal(0, 40, 3_000),
                "noise": rng.normal(size=3_000),
            }
        )

    features = ["noisy_copy", "squashed", "honest", "noise"]
    found = suspicious_features(drawn(0), drawn(1), features=features, label="y", limit=0.9, seed=0, task="regression")
    assert set(found.filter("suspicious")["feature"]) == {"noisy_copy", "squashed"}
    assert dict(found.select("feature", "concordance").iter_rows())["noise"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("rows", "labels", "scores"), [(0, 1, 1), (1, 1, 1), (40, 3, 4), (65, 40, 2), (70, 100, 100)])
def test_concordance_counts_pairs_as_one_by_one(rows, labels, scores):
    rng = np.random.default_rng(rows)
    label, score = rng.integers(0, labels, rows) * 1.5, -0.3 * rng.integers(0, scores, rows)
    wins = [
        (score[i] > score[j]) + (score[i] == score[j]) / 2
        for i in range(rows)
        for j in range(rows)
        if label[i] > label[j]
    ]
    assert concordance(label, score) == (sum(wins) / len(wins) if wins else 0.5)


def test_concordance_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 6, 60), rng.integers(0, 5, 60)
    pairs = [(i, j) for i in range(60) for j in range(60) if label[i] > label[j]]
    wins = [1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0 for i, j in pairs]
    assert concordance(label, score) == pytest.approx(np.mean(wins))
    assert concordance(label > 2, score) == pytest.approx(roc_auc_score(label > 2, score))
    assert concordance(label, np.ones(60)) == 0.5
