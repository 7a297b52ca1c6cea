"""What is wrong with an outcome beside the other declarations of a project."""

import polars as pl
import pytest

from ml_assets.declarations.coherence.models import gap_problems
from ml_assets.declarations.coherence.problems import problems_among
from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSource, DeclaredSpine, DeclaredView

MONTHS = {"grain": "monthly", "start": "2024-01"}
SOURCE = {
    "name": "orders", "description": "Orders.", "where": {"path": "nowhere/{partition}.csv"}, "drops": MONTHS,
    "contract": "shop:Orders", "key_columns": ["id"],
}  # fmt: skip
SPINE = {
    "name": "customers", "table": "orders/validated", "key": ["id"], "time": "placed_at", "partition": "_drop",
    "drops": MONTHS,
}  # fmt: skip
OUTCOME = {
    "name": "churned", "description": "No order.", "spine": "customers", "table": "orders/validated",
    "entity": ["customer"], "happened_at": "placed_at", "window": "10d", "aggregate": {"functions": ["count"]},
    "label": "count == 0",
}  # fmt: skip
VIEW = {
    "name": "order",
    "description": "Order.",
    "spine": "customers",
    "entity": ["id"],
    "request": {"price": "amount"},
}
MODEL = {
    "name": "churn", "description": "Who churns.", "spine": "customers", "label": {"outcome": "churned"},
    "features": ["order"], "split": {"validation": "20d", "holdout": "20d", "gap": "12d"},
}  # fmt: skip
COLUMNS = {
    "id": pl.Int64(), "customer": pl.String(), "amount": pl.Float64(), "placed_at": pl.Datetime("us", "UTC"),
    "day": pl.Date(), "naive_at": pl.Datetime("us"),
}  # fmt: skip


def problems(outcome: dict | None = None, view: dict | None = None, model: dict | None = None) -> list[str]:
    declared = [
        DeclaredSource.model_validate(SOURCE),
        DeclaredSpine.model_validate(SPINE),
        DeclaredView.model_validate(VIEW | (view or {})),
        DeclaredOutcome.model_validate(OUTCOME | (outcome or {})),
        DeclaredModel.model_validate(MODEL | (model or {})),
    ]
    placed = [PlacedDeclaration(each, "shop") for each in declared]
    tables = DeclaredTables(placed, {"orders/validated": None, "outcomes/churned": None})
    tables.contract_columns = lambda _: ContractColumns(COLUMNS)
    return [text for each in placed for text in problems_among(tables, each)]


class ContractColumns(dict):
    """Columns as a contract gives them: none began later."""

    @property
    def begins(self):
        return {}


OF_AMOUNT = {"aggregate": {"of": "amount", "functions": ["sum", "max", "first"]}}


def test_what_agrees_has_no_problem():
    assert problems() == []
    assert problems({"known_at": "placed_at", "where": "amount > 3", "aggregate": None, "label": "a_max > 3"} | {
        "aggregates": {"a": {"of": "amount * 2", "functions": ["max"]}}
    }) == []  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"table": "sales"}, "table: no asset 'sales' is declared; there are orders/validated"),
        ({"entity": ["client"]}, "entity: orders/validated of spine customers has no column 'client'"),
        (
            {"entity": ["client"], "spine_keys": {"client": "customer"}},
            "entity: orders/validated has no column 'client'",
        ),
        ({"happened_at": "when"}, "happened_at: orders/validated has no column 'when'"),
        ({"happened_at": "day"}, "happened_at: column 'day' is Date, it must be a moment (Datetime)"),
        ({"known_at": "naive_at"}, "known_at: column 'naive_at' is a time without a zone"),
        ({"where": "price > 3"}, "where: orders/validated has no column 'price'"),
        ({"aggregate": {"of": "price", "functions": ["sum"]}, "label": "sum"}, "aggregate.of: orders/validated has no"),
        ({"aggregate": {"of": "customer", "functions": ["sum"]}, "label": "sum"}, "of which there is no sum"),
        (
            OF_AMOUNT | {"label": "first LIKE 'a'"},
            "outcome 'churned', 'churned': `first LIKE 'a'` cannot",
        ),
        (
            {"name": "placed_at"},
            "name: 'placed_at' is also a column of the spine customers that outcomes are stored",
        ),
    ],
)
def test_what_contradicts_the_tables_is_said(changed, message):
    model = {"label": {"outcome": changed.get("name", "churned")}}
    assert any(message in text for text in problems(changed, model=model)), problems(changed, model=model)


@pytest.mark.parametrize(
    ("changed", "gap", "takes"),
    [({}, "10d", ""), ({}, "9d", "10d"), ({"settles": "2d"}, "12d", ""), ({"settles": "2d"}, "11d", "12d"),
     ({"early": True}, "1d", "")],
)  # fmt: skip
def test_a_gap_is_as_long_as_the_outcome_takes_to_be_known(changed, gap, takes):
    told = problems(changed, model={"split": MODEL["split"] | {"gap": gap}})
    message = f"split.gap: {gap} is shorter than churned takes to be known, {takes}: make it at least as long"
    assert told == ([message] if takes else [])


def test_a_gap_is_as_long_as_the_longest_horizon_of_the_model():
    made = {
        "name": "customers", "entities": {"table": "orders/validated", "key": ["customer"]}, "drops": MONTHS,
        "every": {"cron": "0 6 * * *"}, "horizons": ["1d", "7d"],
    }  # fmt: skip
    spine, outcome = DeclaredSpine.model_validate(made), DeclaredOutcome.model_validate(OUTCOME | {"window": "1d"})
    for horizon, gap, short in ((None, "7d", 0), (None, "6d", 1), ("1d", "1d", 0), ("7d", "6d", 1)):
        split = MODEL["split"] | {"gap": gap}
        model = DeclaredModel.model_validate(MODEL | {"horizon": horizon, "split": split})
        assert len([*gap_problems(model, spine, outcome)]) == short, (horizon, gap)


def test_a_window_fits_the_shortest_horizon():
    made = {
        "name": "customers", "entities": {"table": "orders/validated", "key": ["customer"]}, "drops": MONTHS,
        "every": {"cron": "0 6 * * *"}, "horizons": ["1d", "7d"],
    }  # fmt: skip
    spine = DeclaredSpine.model_validate(made)
    for window, wrong in (("1d", 0), ("24h", 0), ("25h", 1)):
        outcome = DeclaredOutcome.model_validate(OUTCOME | {"window": window})
        placed = [PlacedDeclaration(each, "shop") for each in (DeclaredSource.model_validate(SOURCE), spine, outcome)]
        tables = DeclaredTables(placed, {"orders/validated": None, "outcomes/churned": None})
        found = [text for text in problems_among(tables, placed[-1]) if text.startswith("window: ")]
        assert len(found) == wrong, found
    assert found[0].startswith("window: outcome churned has 25h, longer than the horizon 1d of spine customers")


def test_a_label_must_be_what_the_task_takes():
    (problem,) = problems({"label": "CASE WHEN count > 0 THEN 'back' ELSE 'gone' END"})
    assert problem.startswith("label.outcome: ")
    assert problems({"label": "CASE WHEN count > 0 THEN 'back' ELSE 'gone' END"}, model={"task": "multiclass"}) == []
    assert problems(OF_AMOUNT | {"label": "sum"}, model={"task": "regression"}) == []


def test_a_feature_that_reads_the_outcome_as_if_it_were_known_is_a_leak():
    reads = {"entity": ["customer"], "table": "outcomes/churned", "request": {}}
    (problem,) = problems(view=reads | {"known_at": "placed_at", "latest": {"before": "churned"}})
    assert "feature view order reads 'churned' in latest.before, at a time when the outcome is not known" in problem
    assert problems(view=reads | {"known_at": "churned_known_at", "latest": {"before": "churned"}}) == []


@pytest.mark.parametrize(
    ("follows", "problem"),
    [
        ("orders/validated", None),
        ("none/validated", "follows: "),
        ("outcomes/churned", "follows: outcomes/churned is no validated table of a source that is cut into drops"),
    ],
)
def test_an_outcome_follows_a_table_that_is_cut_into_drops(follows, problem):
    found = problems({"follows": follows})
    assert found == [] if problem is None else [text for text in found if text.startswith(problem)]
