from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.scaffolding.samples.moments import DATES, OFFSETS, TIMES, ZULU, looks_like

PATTERNS = [
    *DATES,
    *OFFSETS,
    *ZULU,
    *(f"{date}{between}{time}" for date in DATES for time in TIMES for between in (" ", "T", ", ")),
]


def written(pattern, moment):
    return moment.strftime(pattern.replace("%.f", ".%f").replace("%#z", "+01:00"))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_looks_like_what_is_written_in_it(pattern):
    assert looks_like(pattern).fullmatch(written(pattern, datetime(2024, 11, 29, 13, 5, 9)))


def test_most_patterns_need_not_be_tried():
    text = "29.11.2024 13:05"
    assert [pattern for pattern in PATTERNS if looks_like(pattern).fullmatch(text)] == ["%d.%m.%Y %H:%M"]


edits = st.lists(
    st.tuples(st.sampled_from(["drop", "insert", "swap"]), st.integers(0, 40), st.sampled_from(" 0+-.:/TZaé\t")),
    max_size=3,
)


@settings(max_examples=100)
@given(
    st.sampled_from(PATTERNS),
    st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)),
    edits,
)
def test_what_polars_reads_by_a_pattern_looks_like_it(pattern, moment, changes):
    text = written(pattern, moment)
    for what, place, sign in changes:
        before, after = text[: place % (len(text) + 1)], text[place % (len(text) + 1) :]
        text = before + {"drop": after[1:], "insert": sign + after, "swap": sign + after[1:]}[what]
    texts = pl.Series([text])
    for tried in PATTERNS[:: 1 + moment.second % 7]:
        suffix = "" if any(directive in tried for directive in ("%H", "%I")) else " 00:00"
        read = (texts + suffix).str.to_datetime(f"{tried} %H:%M" if suffix else tried, strict=False)
        if read.null_count() == 0:
            assert looks_like(tried).fullmatch(text), (tried, text)
