"""The search over slices: held against brute force, Welch's test, statsmodels' Holm, and made-up overlaps."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ml_assets.diagnosis.rows import ComparedRows, compare_rows
from ml_assets.diagnosis.slices.condition import Condition
from ml_assets.diagnosis.slices.excess import Excess, measure_excess
from ml_assets.diagnosis.slices.fold import holm, standing_slices
from ml_assets.diagnosis.slices.items import Items, cut_items
from ml_assets.diagnosis.slices.search import search_slices


def rows_of(
    seed: int, rows: int = 400, lost: pl.Expr | None = None, blocks: int = 1, slices: tuple[str, ...] = ()
) -> ComparedRows:
    """Losses around 1 that grew by 2 where ``lost`` holds."""
    rng = np.random.default_rng(seed)
    frames = [
        pl.DataFrame(
            {
                "kind": pl.Series(rng.choice(["a", "b", ""], rows)).replace("", None),
                "place": rng.choice(["x", "y"], rows),
                "size": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            }
        )
        for _ in range(2)
    ]
    losses = [rng.normal(1, 0.5, rows) for _ in range(2)]
    if lost is not None:
        losses[1] = losses[1] + 2 * frames[1].select(lost.fill_null(value=False)).to_series().to_numpy()
    numbers = [np.arange(rows) * blocks // rows] * 2
    return compare_rows(
        *frames,
        losses=(losses[0], losses[1]),
        blocks=(numbers[0], numbers[1]),
        features=["kind", "place", "size"],
        slices=slices,
    )


def test_items_are_categories_quantile_bins_of_the_reference_and_missing_values():
    items = cut_items(rows_of(0), least=10)
    words = [condition.text for condition in items.conditions]
    assert words[5:] == ["size is missing", "kind = a", "kind = b", "kind is missing", "place = x", "place = y"]
    assert words[0].startswith("size <= ")
    assert words[4].startswith("size > ")


def test_a_rare_category_is_not_looked_at_and_counted():
    before = pl.DataFrame({"kind": ["a"] * 30 + ["b"] * 30})
    now = pl.DataFrame({"kind": ["a"] * 55 + ["rare"] * 5})
    loss, block = np.ones(60), np.zeros(60)
    rows = compare_rows(before, now, losses=(loss, loss), blocks=(block, block), features=["kind"])
    items = cut_items(rows, least=10)
    assert [condition.text for condition in items.conditions] == ["kind = a"]
    assert items.rare == 1


def test_a_value_that_fills_a_bin_is_an_item_by_itself():
    before = pl.DataFrame({"n": [0.0] * 70 + [float(i) for i in range(1, 31)]})
    loss, block = np.ones(100), np.zeros(100)
    rows = compare_rows(before, before, losses=(loss, loss), blocks=(block, block), features=["n"])
    assert "n = 0" in [condition.text for condition in cut_items(rows, least=5).conditions]


def test_a_row_without_a_known_loss_is_left_out():
    frame, block = pl.DataFrame({"kind": ["a", "b", "a"]}), np.zeros(3)
    rows = compare_rows(
        frame, frame, losses=(np.ones(3), np.array([1, np.nan, 2])), blocks=(block, block), features=["kind"]
    )
    assert rows.current.frame["kind"].to_list() == ["a", "a"]
    with pytest.raises(ValueError, match="current: none of 3 rows has a known loss"):
        compare_rows(frame, frame, losses=(np.ones(3), np.full(3, np.nan)), blocks=(block, block), features=["kind"])


def test_the_excess_is_a_difference_of_differences_with_the_error_of_four_means():
    rows = rows_of(1)
    items = cut_items(rows, least=10)
    inside = items.masks((0,))
    excess = measure_excess(rows, inside, (~inside[0], ~inside[1]), 10)
    parts = [
        part.loss[mask]
        for part, masks in ((rows.reference, inside[0]), (rows.current, inside[1]))
        for mask in (masks, ~masks)
    ]
    then_in, then_out, now_in, now_out = parts
    assert excess is not None
    assert excess.excess == pytest.approx(now_in.mean() - then_in.mean() - (now_out.mean() - then_out.mean()))
    assert excess.error == pytest.approx(np.sqrt(sum(part.var() / len(part) for part in parts)))
    assert excess.p_value == pytest.approx(stats.t.sf(excess.z, excess.freedom))


def test_rows_of_a_block_count_together_where_there_are_enough_blocks():
    rows = rows_of(2, blocks=20)
    inside = cut_items(rows, least=10).masks((0,))
    excess = measure_excess(rows, inside, (~inside[0], ~inside[1]), 10)
    assert excess is not None
    variance = 0.0
    for part, mask in ((rows.reference, inside[0]), (rows.current, inside[1])):
        # The jackknife: how far the difference of the means moves without each of the blocks.
        every = part.loss[mask].mean() - part.loss[~mask].mean()
        without = [
            part.loss[mask & (part.block != block)].mean() - part.loss[~mask & (part.block != block)].mean()
            for block in range(20)
        ]
        variance += 19 / 20 * sum((each - every) ** 2 for each in without)
    assert excess.error == pytest.approx(np.sqrt(variance))
    assert 15 < excess.freedom < 38


def test_what_lost_on_a_single_day_is_no_slice():
    rows = rows_of(10, rows=1_500, blocks=20)
    day = rows.current.block == 3
    rows = replace(rows, current=replace(rows.current, loss=np.where(day, rows.current.loss + 5, rows.current.loss)))
    kinds = np.where(rows.current.block <= 4, "early", "late")
    rows = replace(
        rows,
        current=replace(rows.current, frame=rows.current.frame.with_columns(kind=pl.Series(kinds))),
        reference=replace(
            rows.reference,
            frame=rows.reference.frame.with_columns(kind=pl.Series(kinds)),
        ),
    )
    assert stand(rows) == []
    inside = tuple(part.block == 3 for part in (rows.reference, rows.current))
    alone = measure_excess(rows, (inside[0], inside[1]), (~inside[0], ~inside[1]), 10)
    assert alone is not None
    assert alone.p_value > 0.1


def test_a_slice_that_the_reference_lacks_is_held_against_all_of_the_reference():
    before = pl.DataFrame({"kind": ["a"] * 100})
    now = pl.DataFrame({"kind": ["a"] * 50 + ["new"] * 50})
    losses, block = (np.tile([1.0, 2.0], 50), np.tile([3.0, 4.0], 50)), np.zeros(100)
    rows = compare_rows(before, now, losses=losses, blocks=(block, block), features=["kind"])
    items = cut_items(rows, least=10)
    inside = items.masks((1,))
    against = (~inside[0], ~inside[1])
    assert measure_excess(rows, inside, against, 10) is None
    excess = measure_excess(rows, inside, against, 10, may_be_new=True)
    assert excess is not None
    assert (excess.new, excess.reference_loss, excess.loss, excess.reference_rows) == (True, 1.5, 3.5, 0)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), least=st.integers(5, 40))
def test_all_slices_of_one_column_or_two_are_looked_at_as_brute_force_does(seed, least):
    rows = rows_of(seed, rows=150)
    items = cut_items(rows, least)
    everything = [(item,) for item in range(len(items.conditions))]
    everything += [
        pair for pair in combinations(range(len(items.conditions)), 2) if len({*items.column[list(pair)]}) > 1
    ]
    by_hand = {}
    for which in everything:
        inside = items.masks(which)
        excess = measure_excess(rows, inside, (~inside[0], ~inside[1]), least, may_be_new=len(which) == 1)
        if excess is not None and (~inside[0]).sum() >= least:
            by_hand[which] = excess
    looked = search_slices(rows, items, least=least, most_items=500, candidates=10_000)
    assert sum(looked.tried.values()) == len(by_hand)
    assert {*looked.slices} == {which for which, excess in by_hand.items() if excess.z > 0}
    # A slice that the reference lacks shares rows with what it is held against, which only the second look counts.
    zs = [by_hand[which].z for which in looked.slices if not by_hand[which].new]
    assert zs == pytest.approx(sorted(zs, reverse=True), rel=1e-3, abs=1e-3)


def test_items_beyond_the_most_are_not_paired_and_declared_ones_always_are():
    rows = rows_of(5, lost=pl.col("size") > 0.9, slices=("place",))
    items = cut_items(rows, least=10)
    looked = search_slices(rows, items, least=10, most_items=3, candidates=100)
    assert looked.items_left_out == len(items.conditions) - 3
    paired = {item for which in looked.slices if len(which) == 2 for item in which}
    assert {items.conditions[item].column for item in paired} <= {"place", "size"}


def test_p_values_are_adjusted_as_statsmodels_does_within_each_family():
    rng = np.random.default_rng(0)
    zs = rng.normal(2, 1.5, 20)
    measured = {(i,): Excess(9, 9, z, 0.0, z, 0.0, 1.0, 10**9, False) for i, z in enumerate(zs)}
    conditions = tuple(Condition(column=str(i), value="a") for i in range(20))
    items = Items(conditions, np.arange(20), 0, np.zeros((0, 20)), np.zeros((0, 20)), 0)
    ours = holm(measured, items, {"declared": 0, "single": 20, "pair": 0})
    theirs = multipletests(stats.norm.sf(zs), method="holm")[1]
    assert [ours[i,] for i in range(20)] == pytest.approx(np.minimum(1, theirs * 3), rel=1e-6)


def stand(rows: ComparedRows, most: int = 5) -> list[tuple[str, list[str]]]:
    items = cut_items(rows, least=20)
    looked = search_slices(rows, items, least=20, most_items=500, candidates=100)
    standing = standing_slices(rows, items, looked, least=20, error_rate=0.05, most=most)

    def words(which: tuple[int, ...]) -> str:
        return " and ".join(items.conditions[item].text for item in which)

    return [(words(each.which), [words(which) for which in each.repeats]) for each in standing]


def test_parts_of_a_slice_that_lost_and_what_overlaps_it_are_folded_into_it():
    ((name, repeats),) = stand(rows_of(6, rows=1_500, lost=pl.col("kind") == "a"))
    assert name == "kind = a"
    assert "kind = a and place = x" in repeats


def test_a_pair_stands_where_only_both_together_lost():
    lost = (pl.col("kind") == "a") & (pl.col("place") == "x")
    ((name, repeats),) = stand(rows_of(7, rows=1_500, lost=lost))
    assert name == "kind = a and place = x"
    assert {"kind = a", "place = x"} <= {*repeats}


def test_two_slices_that_lost_by_themselves_both_stand():
    rows = rows_of(8, rows=2_000, lost=(pl.col("kind") == "a") | pl.col("size").is_nan())
    assert {name for name, _ in stand(rows)} == {"kind = a", "size is missing"}


def test_without_a_loss_no_slice_stands():
    assert stand(rows_of(9, rows=1_500)) == []


def test_items_of_private_columns_are_numbered_and_stay_the_same_rows():
    rows = rows_of(0)
    shown, hidden = cut_items(rows, least=10), cut_items(rows, least=10, private={"kind", "size"})
    assert (hidden.current == shown.current).all()
    named = {each.column: [] for each in hidden.conditions}
    for each in hidden.conditions:
        named[each.column].append(each)
    for column in ("kind", "size"):
        of_value = [each for each in named[column] if not each.missing]
        assert len({each.value for each in of_value}) == len(of_value) > 1
        assert all(each.value.startswith("(private ") and each.above is each.up_to is None for each in of_value)
    assert {each.text for each in named["place"]} <= {each.text for each in shown.conditions}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition(column="c", value="AA"), "c = AA"),
        (Condition(column="c", missing=True), "c is missing"),
        (Condition(column="c", above=0.5, up_to=2.0), "0.5 < c <= 2"),
        (Condition(column="c", above=0.5), "c > 0.5"),
        (Condition(column="c", up_to=2.0), "c <= 2"),
        (Condition(column="c", above=float(np.nextafter(3.0, -np.inf)), up_to=3.0), "c = 3"),
        (Condition(column="c"), "c has a value"),
    ],
)
def test_a_condition_is_said_in_words(condition, words):
    assert condition.text == words
