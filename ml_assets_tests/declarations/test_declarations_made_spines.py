"""A made spine beside the other declarations: the columns of its rows, and the one line that each mistake gives."""

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.declarations.coherence.models import model_problems
from ml_assets.declarations.coherence.problems import problems_among
from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.declarations.specs import DeclaredModel, DeclaredSource, DeclaredSpine, DeclaredView

MONTHS = {"grain": "monthly", "start": "2024-01"}


class Customers(pa.DataFrameModel):
    """Entities of the tests."""

    customer: pl.Int64
    country: pl.String
    joined: pl.Datetime("us", "UTC")
    left_on: pl.Date = pa.Field(nullable=True)


def source(name, **given):
    given = {"drops": MONTHS, "where": {"path": "nowhere/{partition}.csv"}} | given
    return DeclaredSource(
        name=name, description="Rows.", contract=f"{__name__}:Customers", key_columns=["customer"], **given
    )


WHOLE = {"drops": {}, "where": {"path": "nowhere.csv"}}


def problems(given=None, entities=None, sources=None):
    declared = {
        "name": "weekly",
        "entities": {"table": "customers/validated", "key": ["customer"], "from": "joined", **(entities or {})},
        "every": {"cron": "0 6 * * mon"},
        "drops": MONTHS,
    }
    spine = DeclaredSpine.model_validate(declared | (given or {}))
    sources = sources or [source("customers")]
    placed = [PlacedDeclaration(each, "shop") for each in [*sources, spine]]
    documented = {f"{each.name}/validated": None for each in sources} | {"weekly/rows": None}
    tables = DeclaredTables(placed, documented)
    return tables, list(problems_among(tables, placed[-1]))


def test_the_columns_of_made_rows_have_the_types_of_the_entities():
    tables, wrong = problems(entities={"columns": ["country"]})
    assert wrong == []
    assert tables.columns("weekly/rows") == {
        "_drop": pl.String(),
        "customer": pl.Int64(),
        "country": pl.String(),
        "prediction_at": pl.Datetime("us", "UTC"),
    }


DECLARED = "is declared; there are customers/validated, weekly/rows"
MADE = "weekly/rows has no column 'country'; it has _drop, customer, prediction_at"
THERE = "customers/validated has no column 'age'; it has customer, country, joined, left_on, _drop"


@pytest.mark.parametrize(
    ("given", "entities", "line"),
    [
        ({}, {"table": "people"}, f"entities.table: no asset 'people' {DECLARED}"),
        ({}, {"key": ["age"]}, f"entities.key: {THERE}"),
        ({}, {"from": "age"}, f"entities.from: {THERE}"),
        ({}, {"where": "age > 3"}, f"entities.where: {THERE}"),
        ({}, {"columns": ["age"]}, f"entities.columns: {THERE}"),
        ({}, {"until": "left_on"}, "entities.until: column 'left_on' is Date, it must be a moment (Datetime)"),
        ({"columns": ["country"]}, {}, f"columns: {MADE}"),
        ({"follows": "orders"}, {}, f"follows: no asset 'orders' {DECLARED}"),
        (
            {"drops": {"grain": "weekly", "start": "2024-01-01"}}, {},
            "drops.grain: is weekly, but the drops of customers are monthly",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_by_one_line(given, entities, line):
    assert problems(given, entities)[1] == [line]


def test_entities_that_come_whole_need_a_table_to_follow():
    sources = [source("customers", **WHOLE), source("orders")]
    (line,) = problems(sources=sources)[1]
    assert line == (
        "entities.table: customers/validated is not cut into drops, so that nothing says which periods have come: name "
        "in `follows` a table that is"
    )
    assert problems({"follows": "orders/validated"}, sources=sources)[1] == []
    (line,) = problems({"follows": "customers/validated"}, sources=sources)[1]
    assert line.startswith("follows: customers/validated is not cut into drops")


@pytest.mark.parametrize("monitored", [True, False])
def test_answers_about_made_rows_cannot_be_watched(monitored):
    tables, _ = problems(entities={"columns": ["country"]})
    view = DeclaredView(name="moment", description="It.", spine="weekly", request={"place": "country"})
    fields = {"label": {"column": "country", "known_at": "prediction_at"}, "task": "multiclass"}
    split = {"validation": "14d", "holdout": "14d", "gap": "1d"}
    model = DeclaredModel.model_validate(
        {"name": "m", "description": "It.", "spine": "weekly", "features": ["moment"], "split": split, **fields}
        | {"serving": {"monitored": monitored}}
    )
    placed = [PlacedDeclaration(each, "shop") for each in (view, model)]
    of_spine = [PlacedDeclaration(tables.named(DeclaredSpine, "weekly"), "shop")]
    found = list(model_problems(DeclaredTables([*of_spine, *placed], {"weekly/rows": None}), model))
    told = [line for line in found if line.startswith("serving.monitored: the rows of spine weekly are made")]
    assert len(told) == monitored


@pytest.mark.parametrize("sampled", [True, False])
def test_a_feature_may_not_be_called_as_the_weight_of_a_sampled_row(sampled):
    sample = {"sample": {"share": 0.1, "before": "2024-03"}} if sampled else {}
    tables, _ = problems(sample, entities={"columns": ["country"]})
    view = DeclaredView(name="place", description="It.", spine="weekly", request={"stands_for": "country"})
    fields = {"label": {"column": "country", "known_at": "prediction_at"}, "task": "multiclass"}
    split = {"validation": "14d", "holdout": "14d", "gap": "1d"}
    model = DeclaredModel.model_validate(
        {"name": "m", "description": "It.", "spine": "weekly", "features": ["place"], "split": split, **fields}
    )
    placed = [PlacedDeclaration(each, "shop") for each in (tables.named(DeclaredSpine, "weekly"), view, model)]
    found = list(model_problems(DeclaredTables(placed, {"weekly/rows": None}), model))
    assert any("feature 'stands_for' bears the name of a spine column" in line for line in found) == sampled
