from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.training.spec import LabelSpec, SpineSpec, SplitSpec
from ml_assets.training.splits import split_bounds, split_by_time

SPINE = SpineSpec(table="t", key=["id"], time="at")
LABEL = LabelSpec(column="y", known_at="known")
AS_OF = datetime(2024, 3, 1)
SPLIT = SplitSpec(validation="10d", holdout="20d", gap="2d", train="30d", min_rows=2)
HOUR = timedelta(hours=1)


def frame_of(rows):
    """Rows of (hours before the cut-off, hours until the label is known or None, label or None)."""
    return pl.DataFrame(
        [
            {
                "id": i,
                "at": AS_OF - ago * HOUR,
                "known": None if delay is None else AS_OF + (delay - ago) * HOUR,
                "y": y,
            }
            for i, (ago, delay, y) in enumerate(rows)
        ],
        schema={"id": pl.Int64, "at": pl.Datetime("us"), "known": pl.Datetime("us"), "y": pl.Int8},
    )


# Counted back from the cut-off in days: gap 2, holdout 20, gap 2, validation 10, gap 2, train 30.
FILLER = [(day * 24, 1, y) for day in (3, 10, 25, 30, 40, 60) for y in (0, 1)]


def cut(rows, split=SPLIT, as_of=AS_OF):
    return split_by_time(frame_of([*FILLER, *rows]), spine=SPINE, label=LABEL, split=split, as_of=as_of)


def test_bounds_are_counted_back_from_the_cut_off_with_three_gaps():
    bounds = split_bounds(SPLIT, AS_OF)
    days = [(AS_OF - getattr(bounds, name)).days for name in bounds.__dataclass_fields__]
    assert days == [66, 36, 34, 24, 24, 24, 22, 2]


def test_intervals_get_the_newest_of_the_validation_rows_and_search_none_of_them():
    # Validation is 34 to 24 days before the cut-off; four tenths of it, the newest 4 days, are calibration's.
    rows = [(29 * 24, 1, 0), (28 * 24, 1, 1), (27 * 24, 1, 0), (24 * 24 + 1, 49, 1), (24 * 24 + 1, 50, 1)]
    frame = frame_of([*FILLER, *rows])
    split = split_by_time(frame, spine=SPINE, label=LABEL, split=SPLIT, as_of=AS_OF, calibration_share=0.4)
    assert (AS_OF - split.bounds.validation_end).days == (AS_OF - split.bounds.calibration_start).days == 28
    first = len(FILLER)
    assert split.calibration["id"].to_list() == [first + 1, first + 2, 4, 5, first + 3]
    assert split.validation["id"].to_list() == [6, 7, first]
    assert split.dropped["label_too_late"] == 1


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ((36 * 24 + 1, 1, 0), "train"),
        ((66 * 24, 1, 0), "train"),
        ((66 * 24 + 1, 1, 0), "too_old"),
        ((36 * 24, 1, 0), "in_gap"),
        ((36 * 24 + 1, 49, 0), "train"),
        ((36 * 24 + 1, 50, 0), "label_too_late"),
        ((34 * 24, 1, 0), "validation"),
        ((24 * 24, 1, 0), "in_gap"),
        ((24 * 24 + 1, 49, 1), "validation"),
        ((24 * 24 + 1, 50, 1), "label_too_late"),
        ((22 * 24, 1, 1), "holdout"),
        ((3 * 24, 72, 1), "holdout"),
        ((3 * 24, 73, 1), "label_not_known"),
        ((2 * 24, 1, 1), "after_holdout"),
        ((10 * 24, 1, None), "no_label"),
        ((10 * 24, None, 1), "no_label"),
    ],
)
def test_each_row_lands_where_its_times_say(row, place):
    before, after = cut([]), cut([row])
    counted_before = {**before.rows, **before.dropped}
    counted_after = {**after.rows, **after.dropped}
    assert {name for name in counted_after if counted_after[name] != counted_before[name]} == {place}
    assert counted_after[place] == counted_before[place] + 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-48, 24 * 80),
            st.one_of(st.none(), st.integers(0, 24 * 6)),
            st.one_of(st.none(), st.integers(0, 1)),
        ),
        max_size=60,
    )
)
def test_parts_share_neither_rows_nor_knowledge(rows):
    split = cut(rows)
    parts = [split.train, split.validation, split.holdout]
    ids = [set(part["id"]) for part in parts]
    assert len(set.union(*ids)) == sum(len(part) for part in ids)
    assert sum(split.rows.values()) + sum(split.dropped.values()) == len(FILLER) + len(rows)
    for earlier, later in pairwise(parts):
        assert earlier["at"].max() + timedelta(days=2) < later["at"].min()
        assert earlier["known"].max() <= later["at"].min()
    assert split.holdout["known"].max() <= AS_OF
    assert all(part["y"].null_count() == 0 for part in parts)


def test_row_order_does_not_matter():
    frame = frame_of([*FILLER, *FILLER])
    shuffled = frame.sample(fraction=1, shuffle=True, seed=3)
    args = {"spine": SPINE, "label": LABEL, "split": SPLIT, "as_of": AS_OF}
    assert split_by_time(frame, **args).train.equals(split_by_time(shuffled.lazy(), **args).train)


def test_time_zones_are_compared_as_moments():
    frame = frame_of(FILLER).with_columns(
        pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
        pl.col("known").dt.replace_time_zone("UTC"),
    )
    split = split_by_time(frame, spine=SPINE, label=LABEL, split=SPLIT, as_of=AS_OF.replace(tzinfo=UTC))
    assert split.rows == cut([]).rows


def test_a_cut_off_without_time_zone_is_refused_for_a_column_with_one():
    frame = frame_of(FILLER).with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    with pytest.raises(ValueError, match="give both a time zone"):
        split_by_time(frame, spine=SPINE, label=LABEL, split=SPLIT, as_of=AS_OF)


def test_an_empty_part_names_the_part_and_what_to_change():
    with pytest.raises(ValueError, match=r"the train part .* has 0 rows .* split\.min_rows = 2.*change split\.train"):
        cut([], split=SPLIT.model_copy(update={"validation": "50d"}))


def test_rows_that_end_before_a_part_begins_are_what_is_missing():
    frame = frame_of(FILLER).filter(pl.col("at") < AS_OF - timedelta(days=22))
    newest = frame["at"].max()
    with pytest.raises(ValueError, match=rf"the holdout part .* no rows: the newest of all is at {newest}.*`follows`"):
        split_by_time(frame, spine=SPINE, label=LABEL, split=SPLIT, as_of=AS_OF)


def test_a_part_of_one_class_names_the_class():
    frame = frame_of(FILLER).with_columns(y=pl.when(pl.col("at") > AS_OF - timedelta(days=22)).then(0).otherwise("y"))
    with pytest.raises(ValueError, match=r"the holdout part .* only labels of class 0"):
        split_by_time(frame, spine=SPINE, label=LABEL, split=SPLIT, as_of=AS_OF)


def test_labels_other_than_0_and_1_are_refused():
    with pytest.raises(ValueError, match="a binary label is 0 or 1"):
        cut([(10 * 24, 1, 7)])


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match=r"lacks the columns \['known'\]"):
        split_by_time(frame_of(FILLER).drop("known"), spine=SPINE, label=LABEL, split=SPLIT, as_of=AS_OF)


# Labels of the other tasks


def cut_as(task, values):
    frame = frame_of(FILLER).with_columns(y=pl.Series("y", values))
    return split_by_time(frame, spine=SPINE, label=LABEL, split=SPLIT, as_of=AS_OF, task=task)


def test_classes_and_numbers_are_cut_as_yes_and_no_are():
    expected = cut([]).rows
    assert cut_as("multiclass", ["a", "b"] * 6).rows == expected
    assert cut_as("multiclass", [1, 2] * 6).rows == expected
    assert cut_as("regression", [0.5, 2.0] * 6).rows == expected
    assert cut_as("regression", [1, 7] * 6).rows == expected


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("binary", [0.0, 1.0] * 6, "label y is Float64, it must be boolean or integer 0/1"),
        ("multiclass", [0.0, 1.0] * 6, "label y is Float64, it must be text, boolean or integer"),
        ("regression", ["a", "b"] * 6, "label y is String, it must be a number"),
        ("multiclass", ["a", "a"] * 6, "has only labels of class a: make split.train longer, two are needed"),
        ("multiclass", ["a", "c", *["a", "b"] * 5], r"the holdout part has the classes \['c'\] in column y"),
        ("multiclass", [*["a", "b"] * 2, "a", "c", *["a", "b"] * 3], r"the validation part has the classes \['c'\]"),
        ("regression", [3.0] * 12, "has only the label 3.0: make split.train longer, it has to vary"),
        (
            "regression",
            [1.0, float("nan"), *[1.0, 2.0] * 5],
            "the holdout part .* has 1 labels in column y that are no",
        ),
    ],
)
def test_labels_that_do_not_fit_their_task_are_an_error(task, values, message):
    with pytest.raises(ValueError, match=message):
        cut_as(task, values)
