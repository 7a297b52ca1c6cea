"""Rows that count differently, directions that scores keep, and entities that lie on one side of a split."""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ml_assets.training.fit import fit_model, predict
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.sampling.weights import decay, declared_weights, scaled
from ml_assets.training.spec import LabelSpec, ModelSpec, SpineSpec, SplitSpec, TrainingSpec
from ml_assets.training.splits import split_by_time

FOREST = "sklearn:sklearn.ensemble.HistGradientBoostingClassifier"
LOGISTIC = "sklearn:sklearn.linear_model.LogisticRegression"
KINDS = {
    "xgboost": {"max_depth": 3, "min_child_weight": 0.0, "reg_lambda": 0.0},
    "lightgbm": {"num_leaves": 6, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0},
    FOREST: {"max_iter": 20, "max_leaf_nodes": 6, "min_samples_leaf": 1, "early_stopping": False},
    LOGISTIC: {"C": 1e6, "max_iter": 500},
}
START = datetime(2024, 1, 1)


def rows(seed, size=400):
    rng = np.random.default_rng(seed)
    # Few distinct values, so that bins do not depend on how often each occurs.
    frame = pl.DataFrame({"a": rng.integers(0, 8, size) / 8, "b": rng.integers(0, 8, size) / 8})
    odds = 4 * frame["a"].to_numpy() - 2 - 2 * (frame["b"].to_numpy() - 0.5)
    return frame.with_columns(
        y=pl.Series(rng.random(size) < 1 / (1 + np.exp(-odds))),
        counts=pl.Series(rng.integers(1, 4, size)),
        at=pl.Series([START + timedelta(hours=int(hour)) for hour in rng.integers(0, 2_000, size)]),
    )


def fit(train, validation, kind, metric="roc_auc", **training):
    spec = TrainingSpec(threads=1, max_rounds=15, early_stopping_rounds=15, **training)
    return fit_model(
        train, validation, features=["a", "b"], label="y", parameters=KINDS[kind], training=spec, metric=metric,
        seed=0, kind=kind, time="at",
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_n_is_learned_from_as_n_rows(kind):
    train, validation = rows(0), rows(1)
    again = train[np.repeat(np.arange(train.height), train["counts"].to_numpy())]
    weighted = fit(train, validation.with_columns(counts=1), kind, weight="counts")
    repeated = fit(again, validation, kind)
    assert len(weighted.history) == len(repeated.history)
    np.testing.assert_allclose(predict(weighted, validation), predict(repeated, validation), atol=1e-3)
    unweighted = fit(train, validation, kind)
    assert np.abs(predict(weighted, validation) - predict(unweighted, validation)).max() > 0.02


@pytest.mark.parametrize(
    ("kind", "metric", "oracle"),
    [
        *((kind, "roc_auc", roc_auc_score) for kind in KINDS),
        # XGBoost's own area under the curve of precision and recall interpolates.
        *((kind, "average_precision", average_precision_score) for kind in KINDS if kind != "xgboost"),
    ],
)
def test_the_validation_metric_counts_rows_by_their_weights(kind, metric, oracle):
    validation = rows(1)
    model = fit(rows(0), validation, kind, metric=metric, weight="counts")
    score = predict(model, validation)
    weighted = oracle(validation["y"], score, sample_weight=validation["counts"])
    assert model.history[model.best_iteration] == pytest.approx(weighted, abs=1e-5)
    assert abs(weighted - oracle(validation["y"], score)) > 1e-4


def test_weights_by_age_are_those_counted_back_from_the_cut_off_but_for_one_factor():
    time = rows(0)["at"]
    cut_off = datetime(2024, 6, 1)
    expected = np.array([0.5 ** ((cut_off - at) / timedelta(days=30)) for at in time])
    np.testing.assert_allclose(scaled(decay(time, "30d")), expected / expected.mean(), rtol=1e-9)
    assert decay(time, "30d").max() == 1
    old = pl.Series([START - timedelta(days=30), START])
    assert decay(old, "30d").tolist() == [0.5, 1.0]


def test_old_rows_count_less_where_a_half_life_is_declared():
    # Half a year ago everything was the other way round.
    old, new = rows(0), rows(2)
    turned = old.with_columns(y=~pl.col("y"), at=pl.col("at") - timedelta(days=365))
    both = pl.concat([turned, turned, turned, new])
    validation = rows(1).with_columns(at=pl.col("at") + timedelta(days=90))
    remembers = roc_auc_score(validation["y"], predict(fit(both, validation, LOGISTIC), validation))
    forgets = roc_auc_score(validation["y"], predict(fit(both, validation, LOGISTIC, half_life="30d"), validation))
    assert remembers < 0.5 < 0.7 < forgets


def test_column_and_age_multiply():
    frame = pl.DataFrame({"w": [1.0, 2.0, 0.0], "at": [START, START - timedelta(days=7), START]})
    spec = TrainingSpec(weight="w", half_life="7d")
    np.testing.assert_allclose(
        scaled(declared_weights(frame, spec, "train"), decay(frame["at"], spec.half_life)), [1.5, 1.5, 0.0]
    )


def test_ages_are_counted_from_the_newest_row_that_counts():
    # Counted from the last row, of weight zero, the others would be 0.5 ** 1826 and 0.5 ** 1825.5, which is zero.
    at = pl.Series([START, START + timedelta(days=1), START + timedelta(days=3652)])
    declared = np.array([1.0, 2.0, 0.0])
    found = scaled(declared, decay(at, "2d", declared))
    np.testing.assert_allclose(found, np.array([0.5**0.5, 2.0, 0.0]) * 3 / (0.5**0.5 + 2))


@pytest.mark.parametrize(("weights", "by_age"), [([1e-320, 0.0], [1e-10, 1.0]), ([1e308, 1e308], [1.0, 1.0])])
def test_weights_that_no_scale_helps_are_an_error(weights, by_age):
    with (
        np.errstate(over="ignore"),
        pytest.raises(ValueError, match=r"training\.weight: the weights of 2 rows add up to (0\.0|inf)"),
    ):
        scaled(np.array(weights), np.array(by_age))


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", FOREST])
@pytest.mark.parametrize("part", ["train", "validation"])
def test_weights_that_leave_one_class_are_refused(kind, part):
    parts = {name: rows(seed).with_columns(counts=pl.lit(1)) for seed, name in enumerate(["train", "validation"])}
    parts[part] = parts[part].with_columns(counts=pl.when(pl.col("y")).then(0).otherwise(1))
    with pytest.raises(ValueError, match=rf"training\.weight: the {part} part, of .* has only labels of class 0"):
        fit(*parts.values(), kind, weight="counts")


def test_a_metric_that_is_undefined_after_every_round_chooses_none():
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="roc_auc is undefined on the validation rows"):
        fit(rows(0), rows(1).filter("y"), "xgboost")


def test_weights_of_a_sample_keep_what_its_rows_stand_for():
    stands_for = np.array([10.0, 10, 1, 1])
    weights = scaled(np.array([1.0, 3, 1, 3]), stands_for=stands_for)
    assert weights.sum() == pytest.approx(stands_for.sum())
    np.testing.assert_allclose(weights / weights[2], [10, 30, 1, 3])
    np.testing.assert_array_equal(scaled(None, stands_for=stands_for), stands_for)
    assert scaled(None, None) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, None, 1.0], "training.weight, train part: 1 of 3 values of column 'w' are null"),
        ([1.0, 1.0, -2.0], "1 of 3 values of column 'w' are below zero, the first in the row 2"),
        ([0.0, 0.0, 0.0], "zeros alone"),
    ],
)
def test_a_weight_that_is_none_is_an_error_that_says_where(values, message):
    with pytest.raises(ValueError, match=message):
        declared_weights(pl.DataFrame({"w": values}), TrainingSpec(weight="w"), "train")


@pytest.mark.parametrize("training", [{"weight": "counts"}, {"half_life": "30d"}])
def test_an_estimator_without_weights_refuses_them(training):
    nearest = "sklearn:sklearn.neighbors.KNeighborsClassifier"
    KINDS[nearest] = {"n_neighbors": 5}
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no weights of rows"):
        fit(rows(0), rows(1), nearest, **training)
    find_kind(FOREST).check_weights()


GRID = np.linspace(-0.2, 1.2, 29)


def steps(model, feature):
    """The differences of the score as one feature rises, at every value of the other."""
    moved, fixed = np.meshgrid(GRID, np.linspace(0, 1, 9))
    frame = pl.DataFrame({feature: moved.ravel(), "b" if feature == "a" else "a": fixed.ravel()})
    return np.diff(predict(model, frame).reshape(moved.shape), axis=1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != LOGISTIC])
def test_the_score_moves_in_the_declared_direction_only(kind):
    noisy = [rows(seed).with_columns(y=(pl.col("y").cast(int) + pl.col("counts") % 2) % 2 == 1) for seed in (0, 1)]
    free = fit(*noisy, kind)
    assert steps(free, "a").min() < -1e-3
    assert steps(free, "b").max() > 1e-3
    kept = fit(*noisy, kind, monotone={"a": "increasing", "b": "decreasing"})
    assert steps(kept, "a").min() >= -1e-7
    assert steps(kept, "b").max() <= 1e-7
    assert kept.estimator is not None


DECLARATION = {
    "name": "churn",
    "description": "Who leaves next month.",
    "spine": {"table": "accounts/months", "key": ["account"], "time": "at"},
    "label": {"column": "left", "known_at": "left_known_at"},
    "features": ["usage"],
    "split": {"validation": "14d", "holdout": "30d", "gap": "2d"},
    "training": {"monotone": {"age": "increasing"}},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": LOGISTIC}, "LogisticRegression cannot be kept monotone; lightgbm, xgboost and scikit-learn's Hist"),
        ({"task": "multiclass"}, "is for tasks with one score"),
        ({"task": "regression"}, "needs metric: rmse, not mae"),
        ({"training": {"monotone": {"age": "up"}}}, "increasing"),
        (
            {
                "training": {
                    "monotone": {"age": "increasing"},
                    "parameters": {"monotone_constraints": "(1)"},
                }
            },
            "sets monotone_constraints, which is declared too",
        ),
    ],
)
def test_what_cannot_be_kept_monotone_is_refused_when_declared(changes, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec.model_validate(DECLARATION | changes)


@pytest.mark.parametrize(
    "changes", [{}, {"kind": "lightgbm"}, {"kind": FOREST}, {"task": "regression", "metric": "rmse"}]
)
def test_what_can_be_kept_monotone_is_taken(changes):
    assert ModelSpec.model_validate(DECLARATION | changes).training.monotone == {"age": "increasing"}


@pytest.mark.parametrize("feature", ["kind", "nothing"])
def test_a_direction_of_what_is_no_number_is_refused(feature):
    frame = rows(0).with_columns(kind=pl.when(pl.col("a") > 0.5).then(pl.lit("x")).otherwise(pl.lit("y")))
    with pytest.raises(ValueError, match=f"training.monotone: {feature} is no numeric or boolean feature of the model"):
        fit_model(
            frame, frame, features=["a", "kind"], label="y", parameters={}, metric="roc_auc", seed=0,
            training=TrainingSpec(threads=1, max_rounds=3, monotone={feature: "increasing"}),
        )  # fmt: skip


AS_OF = datetime(2024, 3, 1)
SPINE, LABEL = SpineSpec(table="t", key=["id"], time="at"), LabelSpec(column="y", known_at="known")


def visits(seed=0, size=3_000, customers=200):
    rng = np.random.default_rng(seed)
    ago = rng.uniform(0, 70, size)
    return pl.DataFrame(
        {
            "id": range(size),
            "customer": rng.integers(0, customers, size),
            "shop": rng.choice(["north", "south"], size),
            "at": [AS_OF - timedelta(days=days) for days in ago],
            "y": rng.integers(0, 2, size),
        }
    ).with_columns(known=pl.col("at") + timedelta(hours=1))


def divide(frame, **changes):
    split = SplitSpec(validation="10d", holdout="20d", gap="2d", train="30d", min_rows=2, **changes)
    return split_by_time(frame, spine=SPINE, label=LABEL, split=split, as_of=AS_OF)


@pytest.mark.parametrize("group", [["customer"], ["customer", "shop"]])
def test_an_entity_lies_on_one_side_and_what_is_left_out_is_counted(group):
    frame = visits()
    whole, kept = divide(frame), divide(frame, group=group)
    parts = ("train", "validation", "holdout")
    owners = [set(getattr(kept, part).select(group).iter_rows()) for part in parts]
    assert not any(a & b for a, b in pairwise([*owners, owners[0]]))
    left_out = sum(whole.rows.values()) - sum(kept.rows.values())
    assert kept.dropped == {**whole.dropped, "other_side": left_out}
    for part in parts:
        own = set(getattr(kept, part)["id"])
        assert own <= set(getattr(whole, part)["id"])
        # An entity keeps all of its rows of the part that it is given to.
        mine = getattr(whole, part).join(getattr(kept, part).select(group).unique(), on=group, how="semi")
        assert set(mine["id"]) == own


def test_train_gets_the_declared_share_of_the_entities_and_the_draw_goes_by_the_key_alone():
    frame = visits(customers=2_000, size=40_000)
    kept = divide(frame, group=["customer"], group_train=0.8)
    counts = {part: getattr(kept, part)["customer"].n_unique() for part in ("train", "validation", "holdout")}
    total = sum(counts.values())
    assert counts["train"] / total == pytest.approx(0.8, abs=0.03)
    assert counts["validation"] / total == pytest.approx(0.1, abs=0.03)
    again = divide(frame.sample(fraction=1, shuffle=True, seed=1), group=["customer"], group_train=0.8)
    assert again.train.equals(kept.train)


def test_an_entity_of_one_part_and_a_row_of_no_entity_stay():
    frame = visits()
    alone = frame.with_columns(customer=pl.col("id"))
    assert divide(alone, group=["customer"]).dropped["other_side"] == 0
    nobody = frame.with_columns(customer=pl.lit(None, pl.Int64))
    assert divide(nobody, group=["customer"]).rows == divide(frame).rows


def test_a_group_that_is_no_column_is_named():
    with pytest.raises(ValueError, match=r"lacks the columns \['client'\]"):
        divide(visits(), group=["client"])
