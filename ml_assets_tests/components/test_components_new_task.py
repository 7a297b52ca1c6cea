"""A task that the platform does not know: one class and one line of registration, and a model lives its whole life."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.automation.projects import find_model
from ml_assets.commands.experiment.trial import try_model
from ml_assets.components.project.tree import ProjectTree
from ml_assets.training.metrics.measure import refuse_unknown
from ml_assets.training.metrics.metric import DOWN, UP, Metric
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import TASKS
from ml_assets.training.tasks.columns import PREDICTION, SCORE, ScoredColumns
from ml_assets.training.tasks.regression import Regression
from ml_assets.training.tasks.task import Scorer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]  # it trains and registers two versions

HISTORY, APRIL = ["2024-02", "2024-03"], "2024-04"
FIRST, SECOND = "2024-04-01", "2024-05-01"
TABLES = ("orders/raw", "orders/validated", "orders/quarantine", "features/who")
TRAINING = ("training_set", "tuned_parameters", "model", "evaluation", "reference", "champion")
WATCHING = ("predictions", "drift_report", "performance_report", "retrain_decision")


@dataclass(frozen=True)
class ComparedGrades:
    metrics: ClassVar[Mapping[str, Metric]] = {"mae": DOWN, "right_grade": UP}

    known: np.ndarray
    score: np.ndarray

    def labels(self) -> np.ndarray:
        return self.known

    def weigh(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        refuse_unknown(names, self.metrics)
        total, grade = weights.sum(axis=1), np.rint(self.score)
        of = {"mae": np.abs(self.known - self.score), "right_grade": grade == self.known}
        return {name: weights @ of[name] / total for name in names}


class Ordinal(Regression):
    """A grade: learned as a number, predicted as the nearest whole one."""

    name = "ordinal"
    described = "Which grade"
    label_words = "a whole number"
    metrics = ComparedGrades.metrics
    measured = ("right_grade", "mae")
    optimised = ("mae",)
    promoted_by = "right_grade"
    has_intervals = False
    relative_drop = False
    estimator = None
    estimable: ClassVar[Mapping[str, str]] = {}
    estimated = ()

    def check_labels(self, part: str, label: pl.Series, where: str) -> None:
        super().check_labels(part, label, where)
        if not (label == label.round()).all():
            raise ValueError(f"{where} has labels in column {label.name} that are no grades")

    def pair(self, outcome: np.ndarray, score: np.ndarray, threshold: float | None = None) -> ComparedGrades:  # noqa: ARG002
        return ComparedGrades(outcome, score)

    def score_columns(self, model: Scorer, score: np.ndarray) -> list[pl.Series]:  # noqa: ARG002
        return [pl.Series(SCORE, score), pl.Series(PREDICTION, np.rint(score).astype(np.int64))]

    def summarise_predictions(self, prediction: pl.Series) -> dict[str, float | pl.DataFrame]:
        return {"highest_grade": prediction.max()}

    def measurable(self, rows: pl.DataFrame, columns: ScoredColumns) -> ComparedGrades:
        return self.pair(rows[columns.label].to_numpy(), rows[columns.probability].to_numpy())


def made_up_grades(month: str) -> pl.DataFrame:
    """Ten orders a day: ann gives a 1, bob a 3, cleo a 5, and every seventh time the next grade."""
    start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    n = 10 * ((start + timedelta(days=31)).replace(day=1) - start).days
    placed = [start + timedelta(hours=2.4) * i for i in range(n)]
    customer = np.arange(n) % 3
    return pl.DataFrame(
        {
            "id": np.arange(n) + int(month.replace("-", "")) * 10_000,
            "customer": np.array(["ann", "bob", "cleo"])[customer],
            "amount": np.array([1.0, 3.0, 5.0])[customer] + (np.arange(n) % 7 == 0),
            "placed_at": placed,
            "settled_at": [at + timedelta(hours=20) for at in placed],
            "returned": [False] * n,
        }
    ).with_columns(pl.col("placed_at", "settled_at").dt.cast_time_unit("us"))


@pytest.fixture(scope="module", autouse=True)
def ordinal():
    TASKS.register("ordinal", Ordinal())
    yield
    TASKS.unregister("ordinal")


@pytest.fixture(scope="module")
def shop(make_project, tmp_path_factory):
    delivered = tmp_path_factory.mktemp("delivered")
    for month in (*HISTORY, APRIL):
        made_up_grades(month).write_csv(delivered / f"{month}.csv")
    monthly = {"grain": "monthly", "start": "2024-02", "end": "2024-07"}
    source = {
        "name": "orders", "description": "Orders.", "where": {"path": str(delivered / "{partition}.csv")},
        "drops": monthly, "contract": "CONTRACTS:Orders", "key_columns": ["id"],
    }  # fmt: skip
    spine = {
        "name": "orders", "table": "orders/validated", "key": ["id"], "time": "placed_at", "partition": "_drop",
        "drops": monthly,
    }  # fmt: skip
    view = {
        "name": "who", "description": "Who.", "spine": "orders", "entity": ["id"], "request": {"buyer": "customer"},
    }  # fmt: skip
    grade = {
        "name": "grade", "description": "Grade.", "task": "ordinal", "spine": "orders", "features": ["who"],
        "label": {"column": "amount", "known_at": "settled_at"}, "slices": ["customer"],
        "split": {"validation": "10d", "holdout": "10d", "gap": "1d"},
        "search": {"trials": 1, "rows": 1000, "max_rounds": 10}, "training": {"max_rounds": 60, "threads": 1},
        "evaluation": {"resamples": 100, "leak_limit": 1.0}, "floors": {"right_grade": 0.5, "mae": 1.0},
        "promotion": {"margin": 0.1, "resamples": 100},
        "monitoring": {
            "continuous_methods": [], "categorical_methods": [], "reconstruction": False, "min_chunk_rows": 10,
            "floors": {"right_grade": 0.95},
        },
    }  # fmt: skip
    project = make_project(
        {"type": "ml_assets.Source", "attributes": source},
        {"type": "ml_assets.Spine", "attributes": spine},
        {"type": "ml_assets.FeatureView", "attributes": view},
        {"type": "ml_assets.MLModel", "attributes": grade},
    )
    assert project.run(*TABLES, drops=HISTORY).success
    return project


def train(shop, as_of: str):
    outcome = shop.run(*(f"grade/{asset}" for asset in TRAINING), as_of=as_of)
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def first(shop):
    return train(shop, FIRST)


@pytest.fixture(scope="module")
def watched(shop, first):  # noqa: ARG001 - by the first champion
    outcome = shop.run(*TABLES, *(f"grade/{asset}" for asset in WATCHING), drops=[APRIL])
    assert outcome.success, outcome.errors
    return outcome


def stored(shop, key: str, as_of: str = FIRST) -> pl.DataFrame:
    return shop.lake.scan(key).filter(pl.col("_as_of").str.starts_with(as_of)).collect()


def test_it_is_tried(shop):
    definitions = SimpleNamespace(component_tree=ProjectTree.for_project(shop.folder))
    trial = try_model(definitions, shop.lake, find_model(definitions, "grade"), rows=1_000)
    assert list(trial.metrics) == ["right_grade", "mae"]
    own, naive = trial.metrics["right_grade"]
    assert own > 0.8 > 0.4 > naive
    assert trial.measure == "concordance"


def test_it_is_trained_evaluated_and_promoted_by_its_own_metrics(shop, first):
    rows = stored(shop, "grade/reference")
    share = (rows["prediction"] == rows["amount"]).mean()
    assert rows.schema["prediction"] == pl.Int64
    assert first.metadata("grade/evaluation")["right_grade"] == pytest.approx(share)
    assert share > 0.8
    measured = stored(shop, "grade/evaluation")
    assert set(measured.filter(subject="customer=bob")["metric"]) == {"mean_label", "mean_score", "mae", "rmse"}
    (record,) = stored(shop, "grade/champion")["record"]
    decision = json.loads(record)
    assert (decision["promote"], decision["rule"]) == (True, "first_champion")
    assert {item["name"] for item in decision["evidence"]} == {"right_grade", "mae", "right_grade_over_baseline_low"}
    assert shop.registry.load("grade", version="1").task == "ordinal"


def test_it_scores_and_is_watched(shop, watched):
    rows = shop.lake.scan("grade/predictions").filter(_drop=APRIL).collect()
    assert watched.metadata("grade/predictions")["highest_grade"] == rows["prediction"].max() == 5
    report = shop.lake.scan("grade/performance_report").filter(_drop=APRIL, scope="period").collect()
    assert set(report["kind"]) == {"realised"}  # nothing estimates it
    known = rows.join(made_up_grades(APRIL).select("id", "amount", "settled_at"), on="id")
    known = known.filter(pl.col("settled_at") <= datetime(2024, 5, 1, tzinfo=UTC))
    share = (known["prediction"] == known["amount"]).mean()
    (realised,) = report.filter(metric="right_grade").to_dicts()
    assert realised["value"] == pytest.approx(share)
    assert (realised["threshold"], realised["alert"]) == (0.95, True)
    assert not shop.lake.scan("grade/drift_report").filter(_drop=APRIL, method="psi").collect().is_empty()


def test_a_second_version_is_compared_with_the_first(shop, watched):  # noqa: ARG001 - April is there
    train(shop, SECOND)
    (record,) = stored(shop, "grade/champion", SECOND)["record"]
    decision = json.loads(record)
    assert (decision["promote"], decision["rule"]) == (True, "no_worse_than_champion")
    assert "right_grade differs by" in decision["reason"]


def test_what_does_not_fit_it_is_refused():
    declared = {
        "name": "grade", "description": "Grade.", "task": "ordinal", "features": ["who"],
        "spine": {"table": "orders", "key": ["id"], "time": "placed_at"},
        "label": {"column": "amount", "known_at": "settled_at"},
        "split": {"validation": "10d", "holdout": "10d", "gap": "1d"},
    }  # fmt: skip
    assert ModelSpec.model_validate(declared).promotion.metric == "right_grade"
    with pytest.raises(ValidationError, match="metric: roc_auc does not fit the task ordinal; choose from mae"):
        ModelSpec.model_validate(declared | {"metric": "roc_auc"})
    with pytest.raises(ValidationError, match="intervals: is for the task regression, not ordinal: leave it out"):
        ModelSpec.model_validate(declared | {"intervals": {}})
    with pytest.raises(
        ValidationError, match="'ranking' is not allowed; choose from binary, multiclass, regression, ord"
    ):
        ModelSpec.model_validate(declared | {"task": "ranking"})
