"""One positive in a thousand rows, whose true probabilities are known."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ml_assets.handover.formats.base import HandoverCandidate
from ml_assets.handover.formats.bentoml import BentoMLService
from ml_assets.handover.formats.onnx import OnnxDirectory
from ml_assets.scoring.predictor import Predictor
from ml_assets.training.calibration.probabilities import calibrate, chance_error
from ml_assets.training.evaluation.evaluate import evaluate
from ml_assets.training.fit import fit_model, load_model, predict, save_model
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.metric import top_names
from ml_assets.training.metrics.ranked_scores import rank_scores
from ml_assets.training.predictions.scored import score_columns
from ml_assets.training.sampling.negatives import prior_correction, thin_negatives
from ml_assets.training.sampling.seeded import sample_classes, sample_rows
from ml_assets.training.search.search import search_parameters
from ml_assets.training.spec import EvaluationSpec, ModelSpec, SearchSpec, TrainingSpec

PARAMETERS = {"max_depth": 2, "learning_rate": 0.1, "min_child_weight": 0.1}


def payments(seed: int, size: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, size))
    truth = 1 / (1 + np.exp(8.3 - 1.5 * a - 1.0 * (b > 1)))
    return pl.DataFrame({"a": a, "b": b, "truth": truth, "fraud": rng.random(size) < truth})


@pytest.fixture(scope="module")
def parts():
    return payments(0, 150_000), payments(1, 100_000)


def fit(parts, metric="roc_auc", calibration=None, kind="xgboost", parameters=PARAMETERS, **training):
    return fit_model(
        *parts, features=["a", "b"], label="fraud", parameters=parameters, metric=metric, seed=0, kind=kind,
        training=TrainingSpec(threads=1, max_rounds=40, early_stopping_rounds=15, **training), calibration=calibration,
    )  # fmt: skip


@pytest.fixture(scope="module")
def thinned(parts):
    return fit(parts, metric="log_loss", negatives=0.02)


def test_the_data_are_rare(parts):
    assert all(1 / 1200 < part["fraud"].mean() < 1 / 800 for part in parts)


def test_all_positives_stay_and_an_exact_share_of_the_negatives(parts):
    train = parts[0]
    positive = train["fraud"].to_numpy()
    kept = thin_negatives(train, positive, 0.02, seed=3)
    negatives = int((~positive).sum())
    assert kept.rows["fraud"].sum() == positive.sum()
    assert kept.rows.height - positive.sum() == round(0.02 * negatives) == negatives - kept.left_out
    assert kept.kept == round(0.02 * negatives) / negatives
    assert kept.rows.equals(thin_negatives(train, positive, 0.02, seed=3).rows)
    assert not kept.rows.equals(thin_negatives(train, positive, 0.02, seed=4).rows)
    # In their order.
    numbered = thin_negatives(train.with_row_index(), positive, 0.02, seed=3).rows["index"]
    assert numbered.is_sorted()
    assert thin_negatives(train, positive, None, seed=3).kept == 1


@pytest.mark.parametrize("kept", [0.5, 0.02, 1e-4])
def test_the_correction_is_that_of_the_odds(kept):
    score = np.linspace(0.001, 0.999, 400)
    expected = score * kept / (score * kept + 1 - score)
    np.testing.assert_allclose(calibrate(prior_correction(kept), score), expected, rtol=1e-12)


def test_scores_of_a_thinned_fit_are_probabilities_of_all_rows(parts, thinned):
    validation = payments(2, 100_000)
    score, truth = predict(thinned, validation), validation["truth"].to_numpy()
    assert thinned.negatives_kept == pytest.approx(0.02, abs=1e-5)
    assert score.sum() == pytest.approx(truth.sum(), rel=0.25)
    # As good as the same fit of all rows, and close to what the truth itself reaches.
    best = log_loss(validation["fraud"], truth)
    whole = predict(fit(parts, metric="log_loss"), validation)
    assert log_loss(validation["fraud"], score) < 1.04 * best
    assert log_loss(validation["fraud"], score) < 1.02 * log_loss(validation["fraud"], whole)
    raw = thinned.raw_scores(thinned.encoding.encode(validation))
    assert raw.sum() > 20 * truth.sum()
    assert roc_auc_score(validation["fraud"], score) == pytest.approx(
        roc_auc_score(validation["fraud"], truth), abs=0.02
    )
    assert 0.001 < thinned.threshold < 0.3


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_a_declared_calibration_learns_from_rows_that_are_all_there(parts, calibration):
    model = fit(parts, calibration=calibration, negatives=0.02)
    fresh = payments(3, 100_000)
    assert model.calibration.method == calibration
    assert predict(model, fresh).sum() == pytest.approx(fresh["truth"].sum(), rel=0.25)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("lightgbm", {"num_leaves": 4, "learning_rate": 0.1}),
        ("sklearn:sklearn.linear_model.LogisticRegression", {"C": 1.0}),
        ("sklearn:sklearn.discriminant_analysis.LinearDiscriminantAnalysis", {}),  # takes no weights
    ],
)
def test_other_kinds_are_corrected_alike(parts, kind, parameters):
    few = parts[0].head(100_000), parts[1].head(40_000)
    model = fit(few, kind=kind, parameters=parameters, negatives=0.05)
    fresh = payments(3, 20_000)
    assert predict(model, fresh).sum() == pytest.approx(fresh["truth"].sum(), rel=0.4)


def test_the_loss_that_early_stopping_watches_is_that_of_rows_thinned_alike(parts, thinned):
    validation = parts[1]
    raw = thinned.raw_scores(thinned.encoding.encode(validation))
    label = validation["fraud"].to_numpy()
    weights = np.where(label, 1.0, thinned.negatives_kept)
    assert thinned.history[thinned.best_iteration] == pytest.approx(
        log_loss(label, raw, sample_weight=weights), rel=1e-4
    )
    # What goes by order is measured on the rows as they are.
    ordered = fit(parts, negatives=0.02)
    score = predict(ordered, validation)
    assert ordered.history[ordered.best_iteration] == pytest.approx(roc_auc_score(label, score), abs=1e-6)


def test_the_server_answers_as_batch_scoring_does(thinned):
    rows = payments(4, 200)
    expected = {column.name: column.to_list() for column in score_columns(thinned, predict(thinned, rows))}
    predictor = Predictor(thinned)
    encoded = thinned.encoding.encode(rows)
    for at in range(0, 200, 20):
        answer = predictor.predict(encoded[at : at + 20])
        assert answer["score"] == pytest.approx(expected["score"][at : at + 20], rel=1e-5)
        assert answer["prediction"] == expected["prediction"][at : at + 20]
    many = predictor.predict(encoded)
    assert many["score"] == expected["score"]


@pytest.mark.slow
@pytest.mark.parametrize("format_", [OnnxDirectory, BentoMLService])
def test_packages_answer_with_corrected_probabilities(thinned, tmp_path, format_):
    rows = payments(5, 100).select("a", "b")
    # It raises where the package's own answers differ.
    difference = format_().write(HandoverCandidate("fraud", "3", thinned, rows, tmp_path), tmp_path)
    assert difference < 1e-6
    assert json.loads((tmp_path / "model.json").read_text())["negatives_kept"] == thinned.negatives_kept


def test_a_saved_model_remembers_what_it_left_out(thinned, tmp_path):
    save_model(thinned, tmp_path)
    loaded, rows = load_model(tmp_path), payments(4, 50)
    assert (loaded.negatives_kept, loaded.calibration) == (thinned.negatives_kept, thinned.calibration)
    np.testing.assert_array_equal(predict(loaded, rows), predict(thinned, rows))
    record = json.loads((tmp_path / "model.json").read_text())
    del record["negatives_kept"]
    (tmp_path / "model.json").write_text(json.dumps(record))
    assert load_model(tmp_path).negatives_kept == 1  # written before negatives could be left out


def test_a_sample_keeps_every_rare_positive_and_its_weights_stand_for_all_rows(parts):
    train = parts[0]
    strata = train["fraud"].cast(pl.Int64).to_numpy()
    sample = sample_classes(train, strata, 20_000, 5, oversample=True)
    assert sample.rows["fraud"].sum() == train["fraud"].sum()
    assert sample.rows.height <= 20_000
    positive = sample.rows["fraud"].to_numpy()
    assert sample.weight[positive].sum() / sample.weight.sum() == pytest.approx(train["fraud"].mean())
    assert sample.weight.sum() == pytest.approx(train.height)
    assert sample.rows.equals(sample_classes(train, strata, 20_000, 5, oversample=True).rows)


def test_what_takes_no_weights_gets_each_class_in_its_share(parts):
    train = parts[0]
    sample = sample_classes(train, train["fraud"].cast(pl.Int64).to_numpy(), 20_000, 5, oversample=False)
    assert sample.weight is None
    assert sample.rows["fraud"].sum() == int(train["fraud"].sum() * 20_000 / train.height)


def test_classes_that_are_common_are_sampled_as_ever():
    frame = pl.DataFrame({"x": range(5_000)})
    strata = np.arange(5_000) % 3
    for each in (strata, None):
        sample = sample_classes(frame, each, 2_000, 5, oversample=True)
        assert sample.weight is None
        assert sample.rows.equals(sample_rows(frame, 2_000, 5))


def test_rare_classes_share_a_sample_with_the_common_ones():
    strata = np.r_[np.zeros(90_000, int), np.ones(9_900, int), np.full(90, 2), np.full(10, 3)]
    frame = pl.DataFrame({"x": range(100_000)})
    sample = sample_classes(frame, strata, 10_000, 0, oversample=True)
    counts = np.bincount(strata[sample.rows["x"].to_numpy()])
    assert counts[2:].tolist() == [90, 10]
    assert counts.sum() <= 10_000
    assert counts[0] / counts[1] == pytest.approx(90_000 / 9_900, rel=0.01)
    small = sample_classes(frame, strata, 200, 0, oversample=True)
    assert np.bincount(strata[small.rows["x"].to_numpy()])[2:].tolist() == [50, 10]


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["average_precision", "log_loss"])
@pytest.mark.parametrize("negatives", [None, 0.1])
def test_a_search_learns_from_rare_positives_in_few_rows(parts, tmp_path, metric, negatives):
    found = search_parameters(
        *parts, model="fraud", features=["a", "b"], label="fraud", metric=metric, seed=0,
        search=SearchSpec(trials=2, rows=5_000, max_rounds=20), storage=f"sqlite:///{tmp_path}/studies.db",
        training=TrainingSpec(threads=1, negatives=negatives),
    )  # fmt: skip
    # A plain sample would hold five positives, of which nothing can be learned.
    validation = parts[1]
    if metric == "average_precision":
        assert found.best_value > 4 * validation["fraud"].mean()
    elif negatives is None:
        constant = np.full(validation.height, validation["fraud"].mean())
        assert found.best_value < 0.97 * log_loss(validation["fraud"], constant)


@pytest.mark.parametrize("calibration", [None, "sigmoid", "isotonic"])
def test_two_positives_in_a_part_are_measured_and_not_fatal(parts, calibration):
    positive, negative = (parts[1].filter(pl.col("fraud") == is_positive) for is_positive in (True, False))
    few = pl.concat([positive.head(2), negative.head(3_000)])
    model = fit((parts[0].head(50_000), few), calibration=calibration)
    score = predict(model, few)
    names = [*top_names(100), "positive_calibration_error"]
    measured = evaluate(
        few.with_columns(at=pl.lit(0).cast(pl.Datetime)), score, np.full(few.height, 0.001), label="fraud", time="at",
        threshold=model.threshold, slices=[], evaluation=EvaluationSpec(resamples=100), seed=0, metrics=names,
    )  # fmt: skip
    assert np.isfinite(list(measured.values.values())).all()


def shared_bins(label, score, bins=10):
    """The error by hand: each row's share of the expected positives lies in one bin, or is divided between two."""
    order = np.argsort(score, kind="stable")
    ends = np.cumsum(score[order])
    starts, total = ends - score[order], ends[-1]
    error = 0.0
    for bin_ in range(bins):
        low, high = bin_ * total / bins, (bin_ + 1) * total / bins
        inside = np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0, None) / score[order]
        error += abs((inside * (label[order] - score[order])).sum())
    return error / total


@pytest.mark.parametrize("seed", range(4))
def test_positives_are_held_against_scores_where_they_are(seed):
    rng = np.random.default_rng(seed)
    score = rng.random(300) ** 4
    label = (rng.random(300) < score).astype(float)
    measured = measure(rank_scores(label, score), ["positive_calibration_error"])["positive_calibration_error"]
    assert measured == pytest.approx(shared_bins(label, score))


def test_an_error_at_the_top_shows_where_positives_are_rare(parts):
    rows = parts[1]
    label, truth = rows["fraud"].to_numpy(), rows["truth"].to_numpy()
    top = truth > np.quantile(truth, 0.99)
    wrong = np.where(top, np.minimum(5 * truth, 1), truth)
    right, off = (rank_scores(label, score) for score in (truth, wrong))
    names = ["calibration_error", "positive_calibration_error"]
    assert measure(off, names)["calibration_error"] < 0.05  # an error of all rows sees nothing
    chance = chance_error(off, metric="positive_calibration_error", seed=0, resamples=50)
    assert measure(off, names)["positive_calibration_error"] > 2 * max(chance, 0.2)
    own = chance_error(right, metric="positive_calibration_error", seed=0, resamples=50)
    assert measure(right, names)["positive_calibration_error"] < 1.5 * own


@pytest.mark.parametrize("negatives", [0, 1, -0.1, 2.0])
def test_a_share_of_negatives_lies_between_none_and_all(negatives):
    with pytest.raises(ValueError, match="no share above 0 and below 1"):
        TrainingSpec(negatives=negatives)


def test_only_a_yes_or_no_has_negatives():
    with pytest.raises(ValueError, match=r"training\.negatives: is for the task binary, not regression"):
        ModelSpec.model_validate(
            {
                "name": "late", "description": "x", "task": "regression", "features": ["f"],
                "spine": {"table": "t", "key": ["k"], "time": "at"}, "label": {"column": "y", "known_at": "known"},
                "split": {"validation": "14d", "holdout": "30d", "gap": "2d"}, "training": {"negatives": 0.1},
            }
        )  # fmt: skip
