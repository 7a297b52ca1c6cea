import json
import statistics

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.quality.checks import bad_row_share, completeness, conservation, key_uniqueness, row_count, usual_rows
from ml_assets.quality.gate import BrokenRule, GateResult
from ml_assets.quality.rules import Rule


def gate_with(good, bad):
    rule = Rule("amount: in_range(0, 10)", ("amount",), "")
    broken = (BrokenRule(rule, bad, 4, "amount=11", ("row 4 (id=3) has amount=11",)),) if bad else ()
    return GateResult(pl.DataFrame({"a": range(good)}), pl.DataFrame({"a": range(bad)}), broken)


@pytest.mark.parametrize(("limit", "passed"), [(0.0, False), (0.019, False), (0.02, True), (0.5, True)])
def test_bad_rows_may_reach_but_not_pass_the_limit(limit, passed):
    measured = bad_row_share(gate_with(98, 2), limit)
    assert (measured.name, measured.value, measured.threshold, measured.passed) == ("contract", 0.02, limit, passed)
    assert measured.evidence == {
        "rows": 100,
        "bad_rows": 2,
        "broken_rules": [
            {
                "rule": "amount: in_range(0, 10)",
                "description": "",
                "rows": 2,
                "first_row": 4,
                "example": "amount=11",
                "examples": ["row 4 (id=3) has amount=11"],
            }
        ],
    }


def test_no_bad_rows_pass_when_none_are_tolerated():
    assert bad_row_share(gate_with(3, 0), 0.0).passed


@pytest.mark.parametrize(("raw", "validated", "quarantined", "lost"), [(10, 8, 2, 0), (10, 8, 1, 1), (10, 10, 1, -1)])
def test_conservation_counts_lost_and_invented_rows(raw, validated, quarantined, lost):
    measured = conservation(raw, validated, quarantined)
    assert (measured.name, measured.value, measured.threshold) == ("conservation", lost, 0)
    assert measured.passed == (lost == 0)
    assert measured.evidence == {"raw_rows": raw, "validated_rows": validated, "quarantined_rows": quarantined}


def test_completeness_is_that_of_the_worst_required_column():
    frame = pl.DataFrame(
        {"a": [1, 2, 3, 4], "b": ["x", None, None, "y"], "c": [1.0, float("nan"), 2.0, 3.0], "d": [None] * 4}
    )
    measured = completeness(frame, ["a", "b", "c"], 0.4)
    assert (measured.name, measured.value, measured.threshold, measured.passed) == ("completeness", 0.5, 0.4, False)
    assert measured.evidence == {
        "worst_column": "b",
        "missing_share": {"a": 0.0, "b": 0.5, "c": 0.25},
        "rows": 4,
    }
    assert completeness(frame, ["a", "c"], 0.25).passed
    assert not completeness(frame, ["a", "c"], 0.24).passed


def test_completeness_with_nothing_required_passes():
    measured = completeness(pl.DataFrame({"a": [None]}), [], 0.01)
    assert (measured.value, measured.passed, measured.evidence["worst_column"]) == (0.0, True, None)


def test_completeness_of_a_column_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"required columns \['b'\] are not in the table; it has \['a'\]"):
        completeness(pl.DataFrame({"a": [1]}), ["a", "b"], 0.01)


def test_key_uniqueness_counts_the_rows_that_share_a_key():
    frame = pl.DataFrame({"a": [1, 1, 1, 2, 2, None, None], "b": ["x", "x", "y", "z", "z", "w", "w"]})
    measured = key_uniqueness(frame, ["a", "b"])
    assert (measured.name, measured.value, measured.threshold, measured.passed) == ("unique_key", 4.0, 0.0, False)
    assert measured.evidence == {"key": ["a", "b"], "examples": ["1, x", "2, z"]}
    unique = key_uniqueness(frame.head(1), ["a"])
    assert (unique.value, unique.passed, unique.evidence["examples"]) == (0.0, True, [])


@pytest.mark.parametrize(
    ("rows", "passed"), [(49, False), (50, True), (100, True), (200, True), (201, False), (0, False)]
)
def test_row_count_is_held_against_the_median_of_earlier_drops(rows, passed):
    measured = row_count(rows, [10, 100, 1000], 0.5, 2.0)
    assert (measured.name, measured.value, measured.threshold) == ("row_count", rows, (50.0, 200.0))
    assert measured.passed == passed
    assert measured.evidence == {"median_of_earlier_drops": 100, "earlier_drops": 3, "ratio": rows / 100}


def test_median_of_an_even_number_of_drops_lies_between():
    assert row_count(30, [10, 30], 0.5, 2.0).threshold == (10.0, 40.0)


def test_a_shop_that_grows_steadily_is_held_against_what_it_has_become():
    months = [round(1000 * 1.08**month) for month in range(48)]
    assert all(row_count(rows, months[:month], 0.5, 2.0).passed for month, rows in enumerate(months))
    assert not row_count(3 * months[-1], months, 0.5, 2.0).passed
    measured = row_count(8, [10] * 9 + [11, 12, 13, 14, 15, 16, 17], 0.5, 2.0)
    assert measured.threshold == (7.0, 28.0)
    assert measured.evidence["earlier_drops"] == 7


@pytest.mark.parametrize("cut_off", range(6))
def test_deliveries_that_were_cut_off_are_not_what_the_next_full_one_is_held_against(cut_off):
    earlier = [1000] * 30 + [100] * cut_off
    full = row_count(1000, earlier, 0.5, 2.0)
    assert (full.passed, full.threshold) == (True, (500.0, 2000.0))
    assert not row_count(100, earlier, 0.5, 2.0).passed
    left_out = {"unusual_drops_left_out": min(cut_off, 4)} if cut_off else {}
    assert full.evidence == {
        "median_of_earlier_drops": 1000,
        "earlier_drops": 7 - min(cut_off, 4),
        "ratio": 1.0,
        **left_out,
    }


def failed(rows: list[int]) -> list[int]:
    """Return which drops, by number, lie outside half to double of those before them."""
    return [at for at, count in enumerate(rows) if not row_count(count, rows[:at], 0.5, 2.0).passed]


def test_what_has_changed_for_good_is_soon_the_usual():
    assert failed([1000] * 30 + [100] * 20) == [30, 31, 32, 33, 34, 35]
    assert failed([100] * 30 + [1000] * 20) == [30, 31, 32, 33, 34, 35]


def test_a_first_drop_that_is_cut_off_is_held_against_one_drop_alone():
    assert failed([100] + [1000] * 20) == [1]


@pytest.mark.parametrize("begins", range(7))
def test_the_weekends_of_a_shop_are_never_what_its_weekdays_are_held_against(begins):
    week = [1000] * 5 + [300] * 2
    rows = [week[(begins + day) % 7] for day in range(70)]
    assert all((begins + day) % 7 >= 5 for day in failed(rows) if day >= 7)
    # Ten times as much from one day on: once a week has passed, only weekends are small again.
    grown = rows + [10 * week[(begins + day) % 7] for day in range(70)]
    assert all((begins + day) % 7 >= 5 for day in failed(grown) if day >= 78)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40))
def test_of_the_drops_before_one_most_are_usual_or_all_count(rows):
    """By a plain account, drop by drop, of which were usual."""
    usual: list[bool] = []
    for at, count in enumerate(rows):
        before = [rows[i] for i in range(max(0, at - 7), at) if usual[i]]
        middle = statistics.median(before) if before else 0
        usual.append(len(before) < 4 or 0.5 * middle <= count <= 2 * middle)
    expected = [count for count, is_usual in list(zip(rows, usual, strict=True))[-7:] if is_usual]
    assert usual_rows(rows, 0.5, 2.0) == expected
    assert expected


def test_first_drop_passes_and_says_why():
    measured = row_count(5, [], 0.5, 2.0)
    assert (measured.value, measured.threshold, measured.passed) == (5.0, None, True)
    assert measured.evidence == {"note": "no earlier drop to compare with"}


def test_evidence_is_plain_json():
    frame = pl.DataFrame({"a": [1, 1, None]})
    for measured in (
        bad_row_share(gate_with(2, 1), 0.0),
        conservation(1, 1, 0),
        completeness(frame, ["a"], 0.0),
        key_uniqueness(frame, ["a"]),
        row_count(1, [2, 3], 0.5, 2.0),
    ):
        assert json.loads(json.dumps(measured.evidence)) == measured.evidence
