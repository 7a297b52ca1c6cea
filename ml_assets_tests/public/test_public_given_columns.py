"""Rows that lack a column are answered by all that they lack and all that they need."""

import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.errors import FeatureError
from ml_assets.lake import Lake
from ml_assets.public.features import features_of
from ml_assets.public.unknown import unknown_name

SPINE = DeclaredSpine.model_validate(
    {
        "name": "orders", "table": "orders/validated", "key": ["id"], "time": "placed_at", "partition": "_drop",
        "drops": {"grain": "monthly", "start": "2024-01"},
    }
)  # fmt: skip


def view(name, **fields):
    return DeclaredView.model_validate({"name": name, "description": name, "spine": "orders", **fields})


VIEWS = [
    view("order", entity=["id"], request={"price": "amount * 2"}),
    view("size", entity=["id"], request={"large": "amount > 5", "night": "hour > 20"}),
]


def test_every_column_that_is_missing_is_named_with_what_reads_it(tmp_path):
    with pytest.raises(FeatureError) as error:
        features_of(Lake(str(tmp_path)), SPINE, VIEWS, pl.DataFrame({"id": [1], "hour": [3]}))
    assert str(error.value) == (
        "the rows lack placed_at (the time of the prediction), amount (feature view order, feature view size); they "
        "need the columns placed_at, id, amount, hour"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("orders", "did you mean orders/validated?"), ("orders/rw", "did you mean orders/raw?"), ("x", "there are ")],
)
def test_the_checked_rows_of_a_source_are_what_its_name_alone_may_mean(name, hint):
    there = ["orders/quarantine", "orders/raw", "orders/validated"]
    assert hint in str(unknown_name("table", name, there))
