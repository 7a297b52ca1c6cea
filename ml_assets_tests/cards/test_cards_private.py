"""Values of private columns are in no card."""

import polars as pl

from ml_assets.cards import reading
from ml_assets.cards.fair import group_measures, read_groups
from ml_assets.fairness.measure import FAIRNESS
from ml_assets.lake import Lake
from ml_assets.quality.private import masked


def test_masked_values_are_told_apart_and_none_stays_none():
    assert masked(["ann", None, "bob", "ann"]) == {None: None, "ann": "(private 1)", "bob": "(private 2)"}


def test_slices_by_a_private_column_keep_their_measures_without_its_values():
    rows = [("customer=ann", 0.5, 10), ("customer=bob", 0.75, 20), ("courier=cy", 0.6, 30)]
    measured = pl.DataFrame(rows, schema=["subject", "value", "rows"], orient="row")
    measured = measured.with_columns(metric=pl.lit("roc_auc"))
    slices = reading._slices(measured, frozenset({"customer"}))
    assert [(each.subject, each.rows, each.measures) for each in slices] == [
        ("customer=(private 1)", 10, {"roc_auc": 0.5}),
        ("customer=(private 2)", 20, {"roc_auc": 0.75}),
        ("courier=cy", 30, {"roc_auc": 0.6}),
    ]


def test_groups_of_a_private_column_keep_their_measures_without_its_values(tmp_path):
    lake = Lake(str(tmp_path))
    about = {"class": "", "measure": "mae", "value": 1.0, "rows": 5, "known": 5, "judged": True}
    named = [("customer", "ann"), ("customer", None), ("courier", "ann")]
    rows = [{"attribute": attribute, "group": group, **about} for attribute, group in named]
    stored = pl.DataFrame(rows, schema=FAIRNESS).with_columns(_as_of=pl.lit("2024"), model_version=pl.lit("1"))
    lake.replace("returns/fairness", stored)
    measured = group_measures(read_groups(lake, "returns", "1", frozenset({"customer"})))
    assert [(each.attribute, each.group) for each in measured] == [
        ("customer", "(private 1)"), ("customer", None), ("courier", "ann"),
    ]  # fmt: skip
    shown = group_measures(read_groups(lake, "returns", "1", frozenset()))
    assert [each.group for each in shown] == ["ann", None, "ann"]
    assert group_measures(read_groups(lake, "other", "1", frozenset({"customer"}))) == ()
