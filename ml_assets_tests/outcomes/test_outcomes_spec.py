"""What a declaration of an outcome may say, and when a label counts as certain early."""

import pytest
from pydantic import ValidationError

from ml_assets.outcomes.early import Settled
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.training.spec import LabelSpec

ALL = ["count", "sum", "mean", "min", "max", "first", "last", "time_to_first"]
DECLARED = {
    "name": "churned", "description": "No order.", "table": "orders", "entity": ["customer"],
    "happened_at": "placed_at", "window": "30d", "aggregate": {"functions": ["count"]}, "label": "count == 0",
}  # fmt: skip
OF_AMOUNT = {"aggregate": {"of": "amount", "functions": ALL}}


def test_an_outcome_names_its_columns():
    spec = OutcomeSpec(**DECLARED | {"spine_keys": {"customer": "buyer"}, "where": "status = 'paid'"})
    assert (spec.columns, spec.known_at_column, spec.spine_entity) == (["count"], "churned_known_at", ["buyer"])
    assert spec.table_columns == ["customer", "placed_at", "status"]
    several = {"a": {"of": "x + y", "functions": ["time_to_first", "sum"]}, "b": {"functions": ["count"]}}
    spec = OutcomeSpec(**DECLARED | {"aggregate": None, "aggregates": several, "label": "a_sum / b_count"})
    assert spec.columns == ["a_time_to_first", "a_time_to_first_censored", "a_sum", "b_count"]
    assert OutcomeSpec(**spec.model_dump()) == spec


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "Churned"}, "name: 'Churned' must be lower case letters"),
        ({"name": "count"}, "name: 'count' is also an aggregate or a key: rename the outcome"),
        ({"aggregate": None}, "aggregate: declare what is summarised, by either `aggregate` or `aggregates`"),
        ({"aggregates": {"a": {"functions": ["count"]}}}, "by either `aggregate` or `aggregates`"),
        ({"aggregate": {"functions": ["sum"]}}, "stands for the facts themselves, of which there is no sum"),
        ({"aggregate": {"functions": []}}, "name at least one, each once"),
        ({"window": "30"}, "'30' is no duration"),
        ({"settles": "soon"}, "'soon' is no duration"),
        ({"spine_keys": {"client": "buyer"}}, "spine_keys: ['client'] are no entity columns"),
        ({"entity": ["a", "a"]}, "entity: names something twice: a, a"),
        ({"entity": ["count"]}, "aggregates: 'count' bears the name of a key"),
        ({"label": "sum > 3"}, "label: there is no aggregate sum; there are count"),
        ({"label": "1 = 1"}, "label: reads no aggregate; there are count"),
        ({"label": "count =="}, "label: `count ==` is no Polars SQL expression"),
        ({"where": "a ="}, "where: `a =` is no Polars SQL expression"),
        (OF_AMOUNT | {"label": "sum > 3", "early": True}, "early: no fact settles `sum > 3` for good"),
        ({"label": "count >= 2", "early": True}, "early: no fact settles `count >= 2` for good"),
        (
            OF_AMOUNT | {"label": "first > 3", "early": True, "known_at": "known_at"},
            "early: `first > 3` reads the first fact, and with known_at an earlier one may still become known",
        ),
        (OF_AMOUNT | {"label": "first > 3", "early": True, "settles": "1d"}, "and with settles an earlier one"),
    ],
)
def test_what_an_outcome_cannot_mean_is_said(changed, message):
    with pytest.raises(ValidationError) as raised:
        OutcomeSpec(**DECLARED | changed)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("label", "settled"),
    [
        ("count == 0", Settled("")),
        ("count = 0", Settled("")),
        ("NOT (count > 0)", Settled("")),
        ("1 <= count", Settled("")),
        ("count <> 0", Settled("")),
        ("count > 1", None),
        ("count == 1", None),
        ("count <= 1", None),
        ("max > 3", Settled("", ">", 3.0)),
        ("max >= 3", Settled("", ">=", 3.0)),
        ("3 > max", Settled("", ">=", 3.0)),
        ("max = -3.5", Settled("", ">", -3.5)),
        ("min < 3", Settled("", ">", 3.0, falling=True)),
        ("min <= 3", Settled("", ">=", 3.0, falling=True)),
        ("min > 3", Settled("", ">=", 3.0, falling=True)),
        ("min >= 3", Settled("", ">", 3.0, falling=True)),
        ("first * 2 > time_to_first", Settled("", in_order=True)),
        ("time_to_first_censored", Settled("", in_order=True)),
        ("max > min", None),
        ("max > 3 AND count > 0", None),
        ("last > 3", None),
        ("mean > 3", None),
        ("sum > 3", None),
        ("max > '3'", None),
        ("count", None),
        ("first > max", None),
    ],
)
def test_which_facts_settle_a_label_for_good(label, settled):
    spec = OutcomeSpec(**DECLARED | OF_AMOUNT | {"label": label})
    assert spec.settled_by is None
    assert spec.model_copy(update={"early": True}).settled_by == settled


def test_a_label_is_an_outcome_or_two_columns():
    label = LabelSpec(outcome="churned")
    assert (label.column, label.known_at) == ("churned", "churned_known_at")
    assert LabelSpec(**label.model_dump()) == label
    assert LabelSpec(column="late", known_at="landed_at").outcome is None


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "column: is missing; declare `column` and `known_at`, or `outcome` instead"),
        ({"column": "late"}, "known_at: is missing; declare `column` and `known_at`, or `outcome` instead"),
        ({"outcome": "churned", "column": "late"}, "column: is that of the outcome churned"),
        ({"outcome": "churned", "known_at": "landed_at"}, "known_at: is that of the outcome churned"),
    ],
)
def test_the_two_ways_to_a_label_exclude_each_other(declared, message):
    with pytest.raises(ValidationError) as raised:
        LabelSpec(**declared)
    assert message in str(raised.value)
