import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.training.records.inputs import ModelInputs
from ml_assets.training.spec import LabelSpec, SpineSpec

PAST = FeatureViewSpec(
    name="past", description="", entity=["shop"], table="sales", known_at="known", ttl="3d", latest={"last": "amount"},
    windows=["1d", "7d"], aggregates={"amount": {"of": "amount", "functions": ["sum"]}}, request={"km2": "km * 2"},
)  # fmt: skip


def inputs(*views, task="binary", **label):
    spine = SpineSpec(table="orders", key=["id"], time="at")
    label = LabelSpec(**({"column": "returned", "known_at": "settled"} | label))
    return ModelInputs(spine=spine, label=label, task=task, views=views or (PAST,))


def changed(**fields):
    return PAST.model_copy(update=fields)


def test_what_is_written_beside_a_model_is_read_again(tmp_path):
    assert ModelInputs.read(tmp_path) is None
    inputs().write(tmp_path)
    assert ModelInputs.read(tmp_path) == inputs()


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (changed(request={}), ["features km2 are no longer declared"]),
        (changed(request={"km2": "km * 2", "km3": "km * 3"}), ["features km3 are new"]),
        (changed(request={"km2": "km + km"}), ["features km2 are declared otherwise"]),
        (changed(windows=["7d"]), ["features amount_sum_1d are no longer declared"]),
        (changed(ttl="4d"), ["features last are declared otherwise"]),
        (changed(table="other"), ["features last, amount_sum_1d, amount_sum_7d are declared otherwise"]),
        (changed(spine_keys={"shop": "store"}), ["features last, amount_sum_1d, amount_sum_7d are declared otherwise"]),
        (changed(latest={"latest": "amount"}), ["features last are no longer declared", "features latest are new"]),
        (changed(name="renamed", description="Otherwise."), []),
    ],
)
def test_changes_are_told_by_feature_whatever_the_view_is_called(view, told):
    assert inputs(view).changes_since(inputs()) == told


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (inputs(column="late"), "the label was returned and is late"),
        (inputs(known_at="at"), "when the label is known was settled and is at"),
        (inputs(task="regression"), "the task was binary and is regression"),
    ],
)
def test_another_outcome_is_told_apart(now, told):
    assert now.apart_from(inputs()) == [told]
    assert now.changes_since(inputs()) == [told]
    assert inputs().apart_from(inputs()) == []
