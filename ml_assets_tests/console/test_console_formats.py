"""How cells are written."""

from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.console import formats


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "–"), (float("nan"), "–"), (True, "yes"), (0.123456, "0.1235"), (1e-7, "1e-07"), (31, "31"),
        ("a <b>", "a <b>"),
        (12345.678, "12\u202f346"), (datetime(2024, 2, 29, 12, 30, 59, tzinfo=UTC), "2024-02-29 12:30"),
        (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_a_value_of_whatever_kind_is_written(given, text):
    assert formats.value(given) == text


@pytest.mark.parametrize(("given", "text"), [(None, "–"), (0.5, "+0.5000"), (-12.345678, "-12.35"), (0.0, "+0.0000")])
def test_a_change_has_its_sign(given, text):
    assert formats.signed(given) == text


@pytest.mark.parametrize(("count", "text"), [(999, "999"), (2010, "2.0k"), (28135, "28k"), (3_400_000, "3.4M")])
def test_a_count_in_a_few_letters(count, text):
    assert formats.compact(count) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [({"minutes": 59}, "59 min"), ({"hours": 47}, "47 h"), ({"days": 2}, "2 d"), ({"hours": -3}, "-3 h")],
)
def test_a_duration_is_days_hours_or_minutes(given, text):
    assert formats.duration(timedelta(**given)) == text
