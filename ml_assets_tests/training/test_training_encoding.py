import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.training.encoding import Encoding

NAN = float("nan")
FRAME = pl.DataFrame(
    {
        "amount": [1.5, None, NAN, -2.0],
        "count": [3, 4, None, 5],
        "new": [True, False, None, True],
        "kind": ["b", "a", None, "b"],
    }
)


def test_values_become_float32_in_feature_order():
    encoding = Encoding.learn(FRAME, ["kind", "amount", "new", "count"])
    matrix = encoding.encode(FRAME)
    expected = [[1, 1.5, 1, 3], [0, NAN, 0, 4], [NAN, NAN, NAN, NAN], [1, -2, 1, 5]]
    np.testing.assert_array_equal(matrix, np.array(expected, dtype=np.float32))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert encoding.feature_types == ["c", "q", "i", "q"]


def test_an_unseen_category_is_missing():
    encoding = Encoding.learn(FRAME, ["kind"])
    np.testing.assert_array_equal(encoding.encode(pl.DataFrame({"kind": ["z", "a"]})), [[NAN], [0]])


@given(st.lists(st.sampled_from(["x", "y", "z", None]), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_neither_row_order_nor_physical_category_order_matters(values, random):
    frame = pl.DataFrame({"kind": values}, schema={"kind": pl.String})
    shuffled = frame.sample(fraction=1, shuffle=True, seed=random.randrange(1000))
    order = random.sample(["x", "y", "z", "unused"], 4)
    encoding = Encoding.learn(frame, ["kind"])
    assert Encoding.learn(shuffled.cast(pl.Enum(order)), ["kind"]) == encoding
    for dtype in (pl.Enum(order), pl.Categorical):
        np.testing.assert_array_equal(encoding.encode(frame.cast(dtype)), encoding.encode(frame))


def test_survives_json():
    encoding = Encoding.learn(FRAME, FRAME.columns)
    again = Encoding.model_validate_json(encoding.model_dump_json())
    assert again == encoding
    np.testing.assert_array_equal(again.encode(FRAME), encoding.encode(FRAME))


def test_a_batch_in_which_a_feature_is_all_null_can_be_scored():
    encoding = Encoding.learn(FRAME, ["kind", "amount"])
    assert np.isnan(encoding.encode(pl.DataFrame({"kind": [None], "amount": [None]}))).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop("kind"), r"features \['kind'\] are not in the frame"),
        (FRAME.with_columns(amount=pl.lit("1.5")), "amount was a number in training and is String now"),
        (FRAME.with_columns(amount=pl.lit(float("inf"))), r"\['amount'\] hold infinite values"),
        (FRAME.with_columns(amount=pl.lit(1e300)), r"\['amount'\] hold infinite values"),
    ],
)
def test_what_cannot_be_encoded_is_named(frame, message):
    encoding = Encoding.learn(FRAME, ["kind", "amount"])
    with pytest.raises(ValueError, match=message):
        encoding.encode(frame)


def test_a_feature_of_another_type_is_refused():
    with pytest.raises(ValueError, match="feature day is Date"):
        Encoding.learn(FRAME.with_columns(day=pl.date(2024, 1, 1)), ["day"])
    with pytest.raises(ValueError, match="named twice"):
        Encoding.learn(FRAME, ["kind", "kind"])


def test_what_does_not_fit_is_told_of_every_feature():
    train = pl.DataFrame({"km": [1, 2], "kind": ["x", "y"], "express": [True, False], "n": [1.5, None]})
    encoding = Encoding.learn(train, train.columns)
    assert encoding.misfits(train.schema) == []
    assert encoding.misfits(train.cast({"km": pl.Float64, "kind": pl.Categorical}).schema) == []
    assert encoding.misfits(train.with_columns(n=None).schema) == []
    now = train.drop("km").with_columns(pl.col("kind").is_null(), pl.col("n").cast(pl.String))
    assert encoding.misfits(now.schema) == [
        "feature km is not there",
        "feature kind was a category in training and is Boolean now",
        "feature n was a number in training and is String now",
    ]


def test_shares_of_categories_that_training_has_not_seen_are_counted():
    encoding = Encoding.learn(pl.DataFrame({"kind": ["x", "y"], "size": ["s", None]}), ["kind", "size"])
    now = pl.DataFrame({"kind": ["x", "new", "newer", None], "size": ["s", "s", None, None]})
    assert encoding.unseen(now) == {"kind": 0.5}
    assert encoding.unseen(now.head(0)) == {}
