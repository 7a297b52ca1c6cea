"""Which drops a change reaches, held against a brute-force recomputation of every drop's features."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.digests.inputs import changed_inputs, digest_inputs
from ml_assets.features.digests.row_hashes import hash_rows
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
MONTHS = ["2024-01", "2024-02", "2024-03", "2024-04"]
WINDOWED = {"windows": ["28d"], "aggregates": {"amount": {"of": "amount", "functions": ["sum", "count"]}}}


def view(**features):
    declared = {"name": "sales", "description": "Sales.", "entity": ["shop"], "table": "sales", "known_at": "known"}
    return FeatureViewSpec(**declared | features)


def visits():
    """One visit of each of two shops on each day of four months."""
    days = [START + DAY * i + timedelta(hours=12) for i in range(121)]
    at = [day for day in days for _ in range(2)]
    shops = ["a", "b"] * 121
    return pl.DataFrame({"month": [f"{day:%Y-%m}" for day in at], "shop": shops, "at": at, "id": range(242)})


def sales():
    """Two sales a day; the second value of the day is not read by any view."""
    known = [START + DAY * i / 2 for i in range(-40, 242)]
    amounts = [float(i % 7) for i in range(len(known))]
    return pl.DataFrame({"shop": ["a", "b"] * 141, "known": known, "amount": amounts, "note": ["n"] * 282})


def digests(declared, spine=None, table=None):
    spine = visits() if spine is None else spine
    table = (sales() if table is None else table).lazy()
    return digest_inputs(declared, spine.lazy(), table, partition="month", time="at")


def changed(declared, table, spine=None):
    return changed_inputs(digests(declared), digests(declared, spine, table))


def corrected(day, **values):
    """The sales with other values on one day of 2024, counted from 0."""
    moment = START + DAY * day
    chosen = (pl.col("known") >= moment) & (pl.col("known") < moment + DAY)
    return sales().with_columns(
        pl.when(chosen).then(pl.lit(v)).otherwise(pl.col(n)).alias(n) for n, v in values.items()
    )


def reached_by_hand(day, look_back):
    """Months with a visit from the moment of the first changed sale until the last one has left the window."""
    last = START + DAY * day + DAY / 2
    seen = visits().filter(pl.col("at") >= START + DAY * day, pl.col("at") < last + look_back)
    return sorted(seen["month"].unique())


@pytest.mark.parametrize("day", [0, 2, 3, 15, 30, 31, 59, 62, 100])
def test_a_correction_reaches_the_drops_whose_window_holds_it(day):
    assert changed(view(**WINDOWED), corrected(day, amount=99.0)) == reached_by_hand(day, 28 * DAY)


def test_latest_reaches_as_far_as_its_ttl():
    declared = view(latest={"last": "amount"}, ttl="40d")
    assert changed(declared, corrected(25, amount=99.0)) == ["2024-01", "2024-02", "2024-03"]
    assert changed(declared, corrected(15, amount=99.0)) == ["2024-01", "2024-02"]


def test_latest_of_any_age_reaches_every_later_drop():
    assert changed(view(latest={"last": "amount"}), corrected(40, amount=99.0)) == MONTHS[1:]


def test_a_static_table_reaches_nothing_that_is_made():
    declared = view(known_at=None, lookups={"size": "amount"})
    assert changed(declared, corrected(40, amount=99.0)) == []


def test_a_column_that_the_view_does_not_read_reaches_nothing():
    assert changed(view(**WINDOWED), corrected(40, note="other")) == []


def test_rows_in_another_order_and_of_another_width_are_the_same():
    shuffled = sales().sample(fraction=1, shuffle=True, seed=1).with_columns(pl.col("amount").cast(pl.Float32))
    assert changed(view(**WINDOWED), shuffled) == []


def test_a_row_that_comes_late_or_goes_reaches_those_that_could_have_seen_it():
    late = pl.concat([sales(), sales().filter(pl.col("known") == START + 20 * DAY)])
    assert changed(view(**WINDOWED), late) == ["2024-01", "2024-02"]
    gone = sales().filter(pl.col("known") != START + 20 * DAY)
    assert changed(view(**WINDOWED), gone) == ["2024-01", "2024-02"]


def test_a_drop_that_is_added_changes_none_before_it():
    before = digests(view(**WINDOWED), visits().filter(pl.col("month") < "2024-03"))
    assert changed_inputs(before, digests(view(**WINDOWED))) == []


def test_a_changed_row_of_the_spine_changes_its_drop_alone():
    declared = FeatureViewSpec(name="visit", description="Visit.", entity=["id"], request={"double": "id * 2"})
    moved = visits().with_columns(id=pl.when(pl.col("id") == 70).then(7000).otherwise("id"))
    now = digest_inputs(declared, moved.lazy(), None, partition="month", time="at")
    assert changed_inputs(digest_inputs(declared, visits().lazy(), None, partition="month", time="at"), now) == [
        "2024-02"
    ]


def test_digests_of_another_declaration_or_none_say_nothing():
    others = digests(view(latest={"last": "amount"}))
    assert changed_inputs(others, digests(view(**WINDOWED))) == []
    assert changed_inputs(dict.fromkeys(MONTHS), others) == []
    assert changed_inputs({"2023-12": others["2024-01"]}, others) == []


@settings(max_examples=40, deadline=None)
@given(
    day=st.integers(-20, 120), shop=st.sampled_from(["a", "b"]), window=st.sampled_from(["1d", "10d", "45d"]),
    add=st.booleans(), ttl=st.sampled_from([None, "3d", "33d"]),
)  # fmt: skip
def test_no_drop_whose_features_change_is_left_out(day, shop, window, add, ttl):
    declared = view(
        latest={"last": "amount"}, ttl=ttl, windows=[window],
        aggregates={"amount": {"of": "amount", "functions": ["sum", "max"]}},
    )  # fmt: skip
    moment = START + DAY * day
    table = sales()
    if add:
        row = pl.DataFrame({"shop": [shop], "known": [moment], "amount": [3.5], "note": ["n"]})
        table = pl.concat([table, row.cast(dict(table.schema))])
    else:
        table = table.filter(~((pl.col("known") >= moment) & (pl.col("known") < moment + DAY)))
    before = compute_features(declared, visits(), sales().lazy(), time="at")
    after = compute_features(declared, visits(), table.lazy(), time="at")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in declared.feature_names)
    beside = before.hstack(after.select(pl.all().name.suffix("_after"))).with_columns(visits()["month"])
    differing = set(beside.filter(differs)["month"])
    assert differing <= set(changed(declared, table))


# Fixed for ever: a value that is hashed otherwise makes every stored digest worthless.
KNOWN = pl.DataFrame(
    {
        "whole": pl.Series([1, -1, None], dtype=pl.Int32),
        "text": ["x", None, "y"],
        "float": [0.5, None, -2.0],
        "at": [START, None, START + DAY],
        "day": [date(2024, 1, 1), None, date(2024, 1, 2)],
    }
)


def test_hashes_are_the_same_in_every_process_and_version():
    assert hash_rows(KNOWN).tolist() == [8012153479095291956, 11731412943590148210, 17870935886100518686]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.Int64, pl.UInt8, pl.UInt64])
def test_the_width_of_a_number_does_not_count(dtype):
    whole = pl.DataFrame({"n": [0, 1, 100]})
    assert hash_rows(whole.cast(dtype)).tolist() == hash_rows(whole).tolist()


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([0, None], dtype=pl.Int64),
        pl.Series(["", None]),
        pl.Series([0.0, None]),
        pl.Series([0.0, float("nan")]),
        pl.Series([True, False]),
        pl.Series([b"\xff", b"\xfe"]),
        pl.Series([[1, 2], [1, 3]]),
        pl.Series([{"a": 1}, {"a": 2}]),
        pl.Series(["1.20", "1.21"]).cast(pl.Decimal(10, 2)),
        pl.Series([2**70, 2**70 + 1], dtype=pl.Int128),
        pl.Series([timedelta(1), timedelta(2)]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_different_values_differ_and_equal_ones_are_alike(column):
    one, other = hash_rows(column.to_frame("x")).tolist()
    assert one != other
    assert hash_rows(pl.concat([column, column]).to_frame("x")).tolist() == [one, other, one, other]


def test_a_column_that_repeats_itself_is_hashed_as_one_that_does_not():
    texts = [f"t{i}" for i in range(2000)]
    alone = hash_rows(pl.DataFrame({"x": texts}))
    repeated = hash_rows(pl.DataFrame({"x": [*["t0"] * 3000, *texts]}))
    assert repeated[3000:].tolist() == alone.tolist()
    assert set(repeated[:3000].tolist()) == {alone[0]}


def test_zero_has_one_hash_whatever_its_sign():
    assert np.unique(hash_rows(pl.DataFrame({"x": [0.0, -0.0]}))).size == 1


def test_the_place_of_a_value_counts():
    assert hash_rows(pl.DataFrame({"a": [1], "b": [2]})) != hash_rows(pl.DataFrame({"a": [2], "b": [1]}))
