"""How many rows a delivery is expected to have, of those before it that the gate let through."""

from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredSource
from ml_assets.deliveries.gate import judge_deliveries, write_validated
from ml_assets.deliveries.withheld import keep_withheld
from ml_assets.lake import Lake

SOURCE = DeclaredSource.model_validate(
    {
        "name": "visits", "description": "", "where": {"path": "{partition}.csv"}, "contract": "shop:Visits",
        "key_columns": ["id"], "drops": {"grain": "daily", "start": "2024-03-01"},
    }
)  # fmt: skip


class Visits(pa.DataFrameModel):
    """Rows of the tests."""

    id: pl.Int64 = pa.Field(ge=0)


def arrive(lake: Lake, sizes: dict[int, int], broken: frozenset[int] = frozenset()) -> None:
    """Bring raw rows of some days, so many each, one of them broken on some."""
    for day, size in sizes.items():
        ids = [10_000 * day + number for number in range(size)]
        ids[0] = -day if day in broken else ids[0]
        drop = f"2024-03-{day:02}"
        raw = pl.DataFrame({"id": ids}).with_columns(_drop=pl.lit(drop), _content_hash=pl.lit(str(day)))
        lake.replace(SOURCE.table("raw"), raw, {"_drop": [drop]})


def expected(lake: Lake, *days: int) -> dict[int, Any]:
    """Let some days pass the gate in one run; day -> the rows that were expected of it, from and to."""
    judged = judge_deliveries(SOURCE, lake, Visits, [f"2024-03-{day:02}" for day in days])
    write_validated(SOURCE, lake, judged)
    keep_withheld(SOURCE, lake, list(judged.gates), judged.outcome)
    return {int(drop[-2:]): checks["row_count"].threshold for drop, checks in judged.measured.items()}


@pytest.mark.parametrize("together", [True, False])
def test_a_delivery_that_fails_is_nothing_to_hold_the_next_against(tmp_path, together):
    lake = Lake(str(tmp_path))
    arrive(lake, {1: 10, 2: 10, 3: 100, 4: 100, 5: 10}, broken=frozenset({3, 4}))
    runs = [(1, 2, 3, 4, 5)] if together else [(1,), (2,), (3,), (4,), (5,)]
    found = {}
    for days in runs:
        found |= expected(lake, *days)
    assert found == {1: None} | dict.fromkeys((2, 3, 4, 5), (5.0, 20.0))


def test_a_delivery_that_only_waits_for_another_counts(tmp_path):
    lake = Lake(str(tmp_path))
    arrive(lake, {1: 10, 2: 500, 3: 20, 4: 30}, broken=frozenset({2}))
    assert expected(lake, 1, 2, 3) == {1: None, 2: (5.0, 20.0), 3: (5.0, 20.0)}
    # The 3rd waits for the 2nd: it is judged once more, and counts for the 4th.
    assert expected(lake, 4) == {3: (5.0, 20.0), 4: (7.5, 30.0)}


def test_a_source_that_was_cut_off_for_days_is_held_against_its_full_deliveries(tmp_path):
    lake = Lake(str(tmp_path))
    arrive(lake, {day: 10 if 9 <= day <= 13 else 100 for day in range(1, 15)})
    found = expected(lake, *range(1, 15))
    assert set(found.values()) == {None, (50.0, 200.0)}
