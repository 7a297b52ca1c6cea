"""A version of another horizon or another outcome: given its own rows, measured on its own label, or told why not."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSpine, DeclaredView
from ml_assets.modelling.comparison import compare_versions
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.predictions import rows_to_score
from ml_assets.modelling.watched import as_predicted, labelled_rows, model_of_version, scored_rows
from ml_assets.retraining.evidence import KnownLabelCounts, count_labels
from ml_assets.spines.rows import make_rows
from ml_assets.testing.frames import FramesLake
from ml_assets.training.promotion.comparison import Incomparable
from ml_assets.training.records.inputs import ModelInputs

DAY = 86_400
MOMENT = pl.Datetime("us", "UTC")
MADE: dict[str, Any] = {
    "name": "weekly", "entities": {"table": "shops/validated", "key": ["shop"]},
    "every": {"cron": "0 6 * * mon", "time_zone": "UTC"}, "drops": {"grain": "monthly", "start": "2024-01"},
}  # fmt: skip
VIEW = DeclaredView(
    name="moment", description="d", spine="weekly", request={"month": "EXTRACT(month FROM prediction_at)"}
)
MONDAYS = 5  # in January 2024, with one shop: a row each for a horizon


def context(
    horizon: str | None, horizons: tuple[str, ...] = ("7d", "28d"), of_spine: dict[str, Any] | None = None, **fields
) -> ModelContext:
    spine = DeclaredSpine.model_validate(MADE | {"horizons": list(horizons), **(of_spine or {})})
    model = DeclaredModel.model_validate(
        dict(
            name="sales", description="d", spine="weekly", features=["moment"], task="regression", horizon=horizon,
            split={"validation": "10d", "holdout": "10d", "gap": "1d"}, label={"column": "sold", "known_at": "sold_at"},
            **fields,
        )
    )  # fmt: skip
    return ModelContext.of(model, spine, [VIEW], "shop")


@pytest.fixture
def rows(tmp_path) -> pl.DataFrame:
    spine = DeclaredSpine.model_validate(MADE | {"horizons": ["7d", "28d"]}).made
    assert spine is not None
    made = make_rows(spine, pl.LazyFrame({"shop": ["a"]}), ["2024-01"], tmp_path).rows.collect()
    return made.with_columns(sold=1.0, sold_at=pl.col("target_at"))


def predicted(rows: pl.DataFrame, days: int) -> pl.DataFrame:
    named = rows.filter(pl.col("horizon") == days * DAY).select("_drop", "shop", "prediction_at", "horizon")
    return named.with_columns(score=2.0, prediction=2.0, model_version=pl.lit("1"))


def registry_of(inputs: ModelInputs | None) -> Any:
    return SimpleNamespace(inputs=lambda *_: inputs)


def test_a_version_of_another_horizon_is_watched_and_scores_on_its_own_rows(rows):
    trained, declared = context("7d"), context("28d")
    lake = FramesLake("", {"weekly/rows": rows, "sales/predictions": predicted(rows, 7)})
    own = as_predicted(lake, registry_of(trained.inputs), declared, "2024-01")
    assert (own.spine.horizons, own.spec.spine.horizons) == (["7d"], ["7d"])
    for found in (scored_rows(lake, own, "2024-01", "2024-03"), labelled_rows(lake, own, ["2024-01"])["2024-01"]):
        assert found.height == MONDAYS
        assert {*found["horizon"]} == {7 * DAY}
        assert found["sold"].null_count() == 0
    fitted: Any = SimpleNamespace(encoding=SimpleNamespace(misfits=lambda _: []))
    scored = rows_to_score(lake, declared.trained_on(trained.inputs), fitted, "1", ["2024-01"])
    assert [*scored["horizon"]] == [7 * DAY] * MONDAYS


def test_rows_of_a_horizon_that_is_made_no_more_are_not_quietly_none(rows):
    lake = FramesLake("", {"weekly/rows": rows.filter(pl.col("horizon") == 28 * DAY)})
    own = context("28d", ("28d",)).trained_on(context("7d").inputs)
    with pytest.raises(ValueError, match="version 1 of sales cannot score 2024-01: weekly/rows has no rows 7d ahead"):
        rows_to_score(lake, own, SimpleNamespace(), "1", ["2024-01"])  # pyright: ignore[reportArgumentType]
    assert own.lacking(lake, ["2023-12"]) == []  # there are no rows at all


def test_versions_of_other_horizons_cannot_be_held_against_each_other_unless_accepted(rows):
    champion: Any = SimpleNamespace(inputs=context("7d").inputs, task="regression")
    lake, told = FramesLake("", {}), "how far ahead the rows look was 7d and is 28d"
    for accepted in (False, True):
        model = context("28d", promotion={"accept_over": "1"} if accepted else {})
        compared = compare_versions(lake, model, rows, None, champion, "1").over_champion
        assert compared == Incomparable(why=told, accepted=accepted)
    every = context(None)
    assert every.inputs.changes_since(context("28d").inputs) == ["how far ahead the rows look was 28d and is 7d, 28d"]


def test_the_same_horizon_otherwise_written_and_one_that_was_not_recorded_are_no_difference():
    declared = context("7d")
    hours = declared.inputs.model_copy(
        update={"spine": declared.inputs.spine.model_copy(update={"horizons": ["168h"]})}
    )
    stored = declared.inputs.model_dump()
    del stored["spine"]["horizons"]
    old = ModelInputs.model_validate(stored)
    for inputs in (hours, old):
        assert declared.inputs.apart_from(inputs) == declared.inputs.changes_since(inputs) == []
        assert declared.trained_on(inputs).spine is declared.spine


def churned(window: str, description: str = "d", horizons: tuple[str, ...] = (), **fields) -> ModelContext:
    outcome = DeclaredOutcome.model_validate(
        {
            "name": "churned", "description": description, "spine": "weekly", "table": "orders", "entity": ["shop"],
            "happened_at": "at",
            "window": window, "aggregate": {"functions": ["count"]}, "label": "count == 0",
        } | fields
    )  # fmt: skip
    model = DeclaredModel.model_validate(
        {
            "name": "churn", "description": "d", "spine": "weekly", "features": ["moment"],
            "label": {"outcome": "churned"},
            "split": {"validation": "10d", "holdout": "10d", "gap": "60d"},
        }
    )  # fmt: skip
    spine = DeclaredSpine.model_validate(MADE | {"horizons": list(horizons)})
    return ModelContext.of(model, spine, [VIEW], "shop", outcomes=[outcome])


@pytest.mark.parametrize(
    ("model", "until"),
    [
        (churned("30d"), "120d"),
        (churned("120d", settles="5d"), "215d"),
        (churned("7d", settles="2d", horizons=("7d", "28d")), "120d"),  # of 28 days and 2, whatever the window
        (context(None), "118d"),
        (context("7d"), "97d"),
        (context("7d", monitoring={"labels": {"until": "3d"}}), "10d"),
        (context(None, ()), "90d"),
    ],
)
def test_labels_are_waited_for_from_when_they_can_be_known(model, until):
    assert model.monitoring.labels.until == until


def test_an_outcome_declared_otherwise_under_its_name_is_not_what_a_version_is_measured_on():
    before, now = churned("30d"), churned("60d", "otherwise said")
    lake = FramesLake("", {})
    _, why = model_of_version(lake, registry_of(before.inputs), now, "1")
    assert why == ["the outcome churned is declared otherwise than it was trained on: window was 30d and is 60d"]
    # What is said about it is no part of it; nor is there a difference to a version whose outcome was not recorded.
    for inputs in (churned("60d").inputs, before.inputs.model_copy(update={"outcome": None})):
        own, why = model_of_version(lake, registry_of(inputs), now, "1")
        assert (why, own.outcome) == ([], now.outcome)


def test_a_prediction_whose_key_has_a_null_finds_its_row():
    spine = DeclaredSpine.model_validate(
        {
            "name": "weekly", "table": "sold", "key": ["shop", "till"], "time": "at", "partition": "drop",
            "drops": {"grain": "monthly", "start": "2024-01"},
        }
    )  # fmt: skip
    view = DeclaredView(name="moment", description="d", spine="weekly", request={"month": "EXTRACT(month FROM at)"})
    model = DeclaredModel.model_validate(
        {
            "name": "sales", "description": "d", "spine": "weekly", "features": ["moment"], "task": "regression",
            "split": {"validation": "10d", "holdout": "10d", "gap": "1d"}, "label": {"column": "sold",
            "known_at": "sold_at"},
        }
    )  # fmt: skip
    own, at = ModelContext.of(model, spine, [view], "shop"), datetime(2024, 1, 8, tzinfo=UTC)
    table = pl.DataFrame(
        {"drop": "2024-01", "shop": ["a", "a", None], "till": [1, None, 2], "at": at, "sold": 1.0, "sold_at": at},
        schema_overrides={"at": MOMENT, "sold_at": MOMENT},
    )
    answers = table.select(
        "drop", "shop", "till", "at", score=pl.col("sold"), prediction="sold", model_version=pl.lit("1")
    )
    lake = FramesLake("", {"sold": table, "sales/predictions": answers})
    assert scored_rows(lake, own, "2024-01")["prediction"].to_list() == [1.0, 1.0, 1.0]
    assert labelled_rows(lake, own, ["2024-01"])["2024-01"].height == 3


def test_known_labels_of_a_sampled_spine_are_counted_by_what_they_stand_for(rows):
    """Five Mondays in January: the label of each comes a week later at six, that of two before the 20th."""
    sampled = context("7d", of_spine={"sample": {"share": 0.02, "before": "2024-03"}})
    known_by, new = datetime(2024, 2, 5, 7, tzinfo=UTC), pl.col("sold_at") > datetime(2024, 1, 20, tzinfo=UTC)
    thinned = FramesLake("", {"weekly/rows": rows.with_columns(stands_for=50.0)})
    known = count_labels(sampled.known_labels(thinned, known_by), new, sampled.spine.sampled)
    assert known == KnownLabelCounts(5, 3, 250.0, 150.0)
    # Rows from before the sample was declared are whole drops.
    whole = count_labels(sampled.known_labels(FramesLake("", {"weekly/rows": rows}), known_by), new, sampled=True)
    assert whole == KnownLabelCounts(5, 3, 5.0, 3.0)


def test_a_column_of_the_spine_may_be_called_row(rows):
    entities = MADE["entities"] | {"columns": ["_row"]}
    model = context("7d", of_spine={"entities": entities, "columns": ["_row"]})
    lake = FramesLake("", {"weekly/rows": rows.with_columns(_row=pl.lit("x"))})
    assert model.rows(lake, ["2024-01"])["_row"].to_list() == ["x"] * MONDAYS
