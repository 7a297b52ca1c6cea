import json

import polars as pl
import pytest

from ml_assets.quality.checks import bad_row_share, completeness, conservation, key_uniqueness, row_count
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
    measured = row_count(8, [1000] * 9 + [1, 2, 3, 4, 5, 6, 7], 0.5, 2.0)
    assert measured.threshold == (2.0, 8.0)
    assert measured.evidence["earlier_drops"] == 7


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
