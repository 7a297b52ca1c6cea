"""What the server answers is what batch scoring writes."""

import numpy as np
import polars as pl
import pytest

from ml_assets.scoring.predictor import Predictor
from ml_assets.scoring_core.rows import InvalidRows
from ml_assets.serving.rollout.champions import Champions
from ml_assets.training.predictions.scored import scored

ROW = {"km": 12.5, "express": False, "courier": "bob"}


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
def test_plain_values_get_the_numbers_of_the_batch_path(models, rows, name):
    unseen = rows.with_columns(courier=pl.when(pl.col("km") > 80).then(pl.lit("new")).otherwise("courier"))
    batch = scored(unseen, models[name]).drop(unseen.columns)
    predictor = Predictor(models[name])
    answers = predictor.predict(predictor.encode_rows(unseen.to_dicts()))
    assert answers == batch.to_dict(as_series=False)
    columns = predictor.encode_columns(unseen.to_dict(as_series=False))
    assert predictor.predict(columns) == answers
    # Few rows are not asked of the library: the last bit of a float32 may differ.
    one_by_one = [predictor.predict(predictor.encode_rows([row])) for row in unseen.to_dicts()]
    for key, values in answers.items():
        alone = [one[key][0] for one in one_by_one]
        assert alone == (pytest.approx(values, rel=1e-6, abs=1e-6) if isinstance(values[0], float) else values)


def test_arrays_are_taken_as_they_are(models, rows):
    predictor = Predictor(models["late"])
    known = rows.drop_nulls()
    arrays = {name: known[name].to_numpy() if name != "courier" else known[name].to_list() for name in known.columns}
    assert np.array_equal(predictor.encode_columns(arrays), models["late"].encoding.encode(known), equal_nan=True)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"km": "far"}, "row 1, feature km: must be a number or null, not 'far'"),
        ({"km": True}, "row 1, feature km: must be a number or null, not 'True'"),
        ({"km": [1]}, "row 1, feature km: must be a number"),
        ({"express": 1}, "row 1, feature express: must be true or false or null, not '1'"),
        ({"courier": 3}, "row 1, feature courier: must be text or null, not '3'"),
        ({"km": 1e39}, r"features \['km'\] hold infinite values or some beyond"),
        ({"km": float("inf")}, r"features \['km'\] hold infinite values"),
        ({"weight": 1}, r"row 1: there are no features \['weight'\]"),
    ],
)
def test_a_value_that_does_not_fit_names_row_and_feature(models, change, why):
    with pytest.raises(InvalidRows, match=why):
        Predictor(models["late"]).encode_rows([ROW, ROW | change])


def test_a_feature_left_out_is_no_null(models):
    with pytest.raises(InvalidRows, match=r"features \['courier', 'km'\] are missing \(give null where there is no"):
        Predictor(models["late"]).encode_rows([{"express": True}])
    with pytest.raises(InvalidRows, match="different numbers of values"):
        Predictor(models["late"]).encode_columns({"km": [1.0], "express": [True, False], "courier": ["ann"]})


def test_a_new_champion_takes_over_and_one_that_is_broken_does_not(registry):
    champions = Champions(registry, ["late", "mood"])
    assert [(one.name, one.version) for one in champions] == [("late", "1"), ("mood", "1")]
    assert champions.refresh() == []
    held = champions.find("late")
    registry.champions["late"] = "2"
    assert [(one.name, one.version) for one in champions.refresh()] == [("late", "2")]
    assert held.version == "1", "a request goes on with the version that it began with"
    registry.champions["late"] = "3"
    assert champions.refresh() == []
    assert champions.find("late").version == "2"
    registry.champions["late"] = "1"
    assert champions.refresh()[0].version == "1"


def test_a_registry_out_of_reach_for_one_model_does_not_keep_the_others_back(registry, monkeypatch):
    champions = Champions(registry, ["late", "mood"])
    mood, load = registry.champions.pop("mood"), registry.load
    assert champions.refresh() == []
    registry.champions |= {"late": "2", "mood": mood}

    def unreachable(name, *, version):
        raise OSError(f"connection refused: {name} {version}")

    monkeypatch.setattr(registry, "load", unreachable)
    assert champions.refresh() == []
    monkeypatch.setattr(registry, "load", load)
    assert [one.version for one in champions.refresh()] == ["2"], "a version that could not be reached is asked again"


def test_a_model_without_champion_cannot_be_served(registry):
    registry.champions.pop("mood")
    with pytest.raises(LookupError, match="model mood has no champion: train and promote one first"):
        Champions(registry, ["mood"])
