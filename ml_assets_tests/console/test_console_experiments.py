"""The page of experiments: tries and trainings, and some of them side by side."""

from datetime import UTC, datetime

import polars as pl
import pytest

from ml_assets.console.pages.experiments.read import compare, list_experiments
from ml_assets.modelling.records import TrainedVersion, replace_as_of, write_record
from ml_assets.training.records.tried import MeasuredMetric, TriedModel, keep_try, read_tries
from ml_assets.training.search.search import TunedParameters

from .conftest import HOSTILE
from .test_console_decisions import MODELS

AS_OF = "2024-04-01T00:00:00+00:00"


def metric(value):
    return MeasuredMetric(value=value, low=value - 0.125, high=value + 0.125, baseline=0.5)


def tried(second=0, **more):
    bare = {
        "model": "returns", "tried_at": datetime(2024, 5, 1, 0, 0, second, tzinfo=UTC), "kind": "xgboost",
        "rows": {"train": 100, "holdout": 20}, "parameters": {"max_depth": 3, "eta": 0.25},
        "features": ("price", HOSTILE), "metrics": {"roc_auc": metric(0.625)}, "signs_of_leaks": 0, "seconds": 12.5,
        "tables": ("orders/validated: from the lake, version 3",),
    }  # fmt: skip
    return TriedModel(**(bare | more))


@pytest.fixture
def trained(lake):
    tuned = TunedParameters(
        study="s", fingerprint="f", parameters={"max_depth": 6, "eta": 0.25}, metric="roc_auc", best_value=0.7,
        best_rounds=10, trials=5, pruned=1, seconds=33.5,
    )  # fmt: skip
    write_record(lake, "returns/tuned_parameters", AS_OF, tuned)
    version = TrainedVersion(
        model="returns", version="1", run_id="run1", as_of=AS_OF, training_set_version=0, trees=11, threshold=0.5
    )
    write_record(lake, "returns/model", AS_OF, version, "1")
    rows = [("model", "roc_auc", 0.75, 0.7, 0.8), ("baseline", "roc_auc", 0.5, 0.4, 0.6)]
    rows += [("importance", name, 0.5, None, None) for name in ("price", "weight")]
    measured = pl.DataFrame(rows, schema=["subject", "metric", "value", "low", "high"], orient="row")
    replace_as_of(lake, "returns/evaluation", AS_OF, measured, "1")
    other = measured.with_columns(value=pl.lit(0.1))
    replace_as_of(lake, "returns/evaluation", AS_OF, other, "2")


def test_a_try_is_kept_as_it_came_out(lake):
    keep_try(lake, tried())
    keep_try(lake, tried(second=1, seconds=1.0))
    assert read_tries(lake, "returns") == [tried(), tried(second=1, seconds=1.0)]


@pytest.mark.usefixtures("trained")
def test_tries_and_trainings_are_listed_by_model_the_newest_first(lake, stores_of):
    keep_try(lake, tried())
    last, training = list_experiments(stores_of(*MODELS))
    assert (last.id, last.what, last.rows, last.seconds) == ("returns-try-20240501T000000000000", "try", 100, 12.5)
    assert (training.id, training.what, training.version, training.run_id) == (
        "returns-version-1", "training", "1", "run1",
    )  # fmt: skip
    assert training.parameters == {"max_depth": 6, "eta": 0.25, "search trials": 5, "trees": 11, "threshold": 0.5}
    assert training.metrics == {"roc_auc": MeasuredMetric(value=0.75, low=0.7, high=0.8, baseline=0.5)}
    assert (training.features, training.seconds) == (("price", "weight"), 33.5)
    assert list_experiments(stores_of(*MODELS), "delay") == []


@pytest.mark.usefixtures("trained")
def test_experiments_stand_side_by_side_in_the_order_in_which_they_are_named(lake, stores_of):
    keep_try(lake, tried())
    ids = ["returns-version-1", "returns-try-20240501T000000000000"]
    side = compare(stores_of(*MODELS), ids)
    assert [each.id for each in side.experiments] == ids
    assert {row.name: (row.values, row.differs) for row in side.parameters} == {
        "max_depth": ((6, 3), True), "eta": ((0.25, 0.25), False), "search trials": ((5, None), True),
        "trees": ((11, None), True), "threshold": ((0.5, None), True),
    }  # fmt: skip
    assert side.metrics[0].values == (MeasuredMetric(value=0.75, low=0.7, high=0.8, baseline=0.5), metric(0.625))
    assert {row.name: row.values for row in side.features} == {"weight": (True, False), HOSTILE: (False, True)}
    assert side.shared_features == 1


def test_features_that_are_not_kept_are_no_difference(lake, stores_of):
    keep_try(lake, tried(features=()))
    keep_try(lake, tried(second=1, features=("price",)))
    side = compare(stores_of(*MODELS), [f"returns-try-20240501T00000{second}000000" for second in (0, 1)])
    assert [(row.name, row.values) for row in side.features] == [("price", (None, True))]
    assert side.shared_features == 1


@pytest.mark.usefixtures("trained")
def test_the_page_compares_what_its_address_names_and_escapes_what_data_names(lake, console):
    keep_try(lake, tried(parameters={HOSTILE: HOSTILE}))
    client = console(*MODELS)
    path = "/experiments?id=returns-version-1&id=returns-try-20240501T000000000000"
    for each in ("/experiments", f"/experiments?model={HOSTILE}", path):
        answer = client.get(each)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    text = client.get(path).text
    assert "0.7500 [0.7000, 0.8000], baseline 0.5000" in text
    assert "/models/returns/card/1" in text
    shown = client.get(f"{path}&format=json").json()["compared"]["experiments"]
    assert [each["id"] for each in shown] == ["returns-version-1", "returns-try-20240501T000000000000"]


def test_what_is_not_there_and_too_many_are_said(console):
    client = console(*MODELS)
    assert client.get("/experiments?id=nothing").status_code == 404
    assert client.get("/experiments?" + "&".join(f"id={n}" for n in range(9))).status_code == 400
    assert "Nothing was tried or trained yet" in client.get("/experiments").text
