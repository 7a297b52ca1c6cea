"""Facts by table: every view is fed, what breaks the contract is quarantined, and all of it is one transaction."""

import json
import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import PushError
from ml_assets.online.stores.errors import NoBuild
from ml_assets.online.stores.records import Note
from ml_assets.online.tables import NoteChanged, OtherPush, PushedTable
from ml_assets.online.values.record import microseconds
from ml_assets.serving.contract_gate import ContractGate

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
SCHEMA = {
    "key": pl.Int64,
    "shop": pl.String,
    "till": pl.Int64,
    "paid_at": MOMENT,
    "packed_at": MOMENT,
    "amount": pl.Float64,
}
SHOPS = FeatureViewSpec(
    name="shops", description="Shops.", entity=["shop"], table="sales", known_at="paid_at", windows=["3h"],
    aggregates={"amount": {"of": "amount", "functions": ["sum", "count"]}},
)  # fmt: skip
TILLS = FeatureViewSpec(
    name="tills", description="Tills.", entity=["shop", "till"], table="sales", known_at="packed_at",
    latest={"last_amount": "amount"}, windows=["3h"], aggregates={"packed": {"functions": ["count"]}},
)  # fmt: skip
CONTRACT = f"{__name__}:Sales"


def _contract():
    import pandera.polars as pa

    class Sales(pa.DataFrameModel):
        key: pl.Int64
        shop: pl.String = pa.Field(isin=["a", "b"])
        till: pl.Int64 = pa.Field(nullable=True)
        paid_at: pl.Datetime("us", "UTC")
        packed_at: pl.Datetime("us", "UTC") = pa.Field(nullable=True)
        amount: pl.Float64 = pa.Field(in_range={"min_value": 0, "max_value": 100}, nullable=True)

    return Sales


Sales = _contract()


def sale(key, shop="a", till=1, paid=0.0, packed=None, amount=1.0):
    """A sale of so many hours before NOW."""
    at = lambda hours: None if hours is None else (NOW - timedelta(hours=hours)).isoformat()  # noqa: E731
    return {"key": key, "shop": shop, "till": till, "paid_at": at(paid), "packed_at": at(packed), "amount": amount}


def frame(*rows):
    moments = {"paid_at", "packed_at"}
    plain = [{k: datetime.fromisoformat(v) if k in moments and v else v for k, v in row.items()} for row in rows]
    return pl.DataFrame(plain, schema=SCHEMA)


@pytest.fixture
def table():
    return PushedTable("sales", [SHOPS, TILLS], lambda: ContractGate(CONTRACT, ["key"]), timedelta(minutes=5))


@pytest.fixture
def built(store):
    for view in (SHOPS, TILLS):
        known = frame(sale(1, paid=1, packed=1, amount=4.0))
        build_view(store, view, known.lazy(), as_of=NOW, max_age=timedelta(days=1), build="b1")
    return store


def push(table, store, *rows, **more):
    return table.push(store, rows, arrived_at=microseconds(NOW), **more)


def read(store, shop="a", till=1, at=NOW):
    (fetched,) = OnlineFeatures(store, [SHOPS, TILLS]).fetch([{"shop": shop, "till": till}], microseconds(at))
    return tuple(fetched.values.values())


def test_one_fact_feeds_every_view_that_knows_of_it(built, table):
    done = push(table, built, sale(2, paid=0.5, packed=0.25, amount=2.0), sale(3, paid=0.5, amount=3.0))
    assert (done.rows, done.refused, done.views) == (2, [], {"shops": 2, "tills": 1})
    # Of both views: sum and count of what was paid, then the last that was packed and how many were.
    assert read(built) == (9.0, 3, 2.0, 2)


@pytest.mark.parametrize(
    ("row", "rules", "columns"),
    [
        (sale(2, amount=-1e9), "amount: in_range(0, 100)", "amount"),
        (sale(2, shop="?"), "shop: isin(['a', 'b'])", "shop"),
        (sale(2, amount="2"), "amount: it must be a finite number", "amount"),
        (sale(2, till=2.5), "till: it must be a whole number (Int64)", "till"),
        (sale(2) | {"colour": 1}, "colour: no such column", "colour"),
        ({k: v for k, v in sale(2).items() if k != "shop"}, "shop: is missing; it must be text or null", "shop"),
        (sale(2, paid=-24 * 365 * 6), "paid_at: not more than 0:05:00 after it is pushed", "paid_at"),
        (sale(2, paid=0, packed=-0.1), "packed_at: not more than 0:05:00 after it is pushed", "packed_at"),
        (sale(2) | {"shop": None}, "no view of the table takes it: a key or the moment that it was known is null", ""),
    ],
)
def test_what_breaks_a_rule_is_quarantined_and_the_rest_counts(built, table, row, rules, columns):
    rows = [row, row | {"key": 4}]
    done = push(table, built, rows[0], sale(3, amount=3.0), rows[1])
    assert done.rows == 1
    assert [(each.row, each.rules, each.columns) for each in done.refused] == [(0, rules, columns), (2, rules, columns)]
    assert read(built)[:2] == (7.0, 2)
    kept = built.refused_since("sales", 0)
    assert [(number, at, json.loads(each.row), each.rules) for number, at, each in kept] == [
        (number, microseconds(NOW), row, rules) for number, row in enumerate(rows, 1)
    ]
    assert built.refused_since("sales", 1) == kept[1:]


def test_a_moment_within_the_tolerance_counts_when_it_comes(built, table):
    soon = NOW + timedelta(minutes=5)
    assert push(table, built, sale(2, paid=-1 / 12, amount=2.0)).rows == 1
    assert read(built)[0] == 4.0
    assert read(built, at=soon)[0] == 6.0


def test_rows_of_one_key_that_differ_are_both_quarantined_and_the_same_row_counts_once(built, table):
    done = push(table, built, sale(2, amount=1.0), sale(2, amount=2.0), sale(3, amount=3.0), sale(3, amount=3.0))
    assert [(each.row, each.rules) for each in done.refused] == [
        (0, "unique(key): conflicting rows"), (1, "unique(key): conflicting rows"), (3, "unique(key): repeated row"),
    ]  # fmt: skip
    assert read(built)[:2] == (7.0, 2)


def test_a_retry_with_the_same_key_counts_once(built, table):
    rows = [sale(2, amount=2.0), sale(3, amount=-1.0)]
    first = push(table, built, *rows, key="k")
    again = push(table, built, *rows, key="k")
    assert (first.repeated, again.repeated) == (False, True)
    assert (again.rows, again.refused) == (1, first.refused)
    assert read(built)[:2] == (6.0, 2)
    assert len(built.refused_since("sales", 0)) == 1
    with pytest.raises(OtherPush, match="table 'sales': the idempotency key came with other rows before"):
        push(table, built, sale(2, amount=2.5), key="k")
    assert push(table, built, *rows, key="other").rows == 1
    assert read(built)[:2] == (8.0, 3)


def test_a_key_is_remembered_by_the_clock_whatever_the_moments_of_a_replay(built, table):
    clock, row = microseconds(NOW + timedelta(days=3650)), sale(2, amount=2.0)
    pushed = {"arrived_at": microseconds(NOW), "key": "k", "now": clock}
    assert not table.push(built, [row], **pushed).repeated
    table.push(built, [sale(3)], arrived_at=clock, key="of somebody who lives now")
    table.push(built, [sale(4)], arrived_at=microseconds(NOW + timedelta(days=2)), key="later in the replay", now=clock)
    assert table.push(built, [row], **pushed).repeated


def test_a_fact_is_corrected_and_taken_back(built, table):
    wrong, right = sale(2, paid=0.5, packed=0.5, amount=2.0), sale(2, paid=0.5, packed=0.5, amount=3.0)
    push(table, built, wrong)
    assert read(built) == (6.0, 2, 2.0, 2)
    done = push(table, built, right, retract=[wrong])
    assert (done.rows, done.retracted) == (1, 1)
    assert read(built) == (7.0, 2, 3.0, 2)
    push(table, built, retract=[right])
    assert read(built) == (4.0, 1, 4.0, 1)
    with pytest.raises(PushError, match="is not there to be taken back"):
        push(table, built, sale(9), retract=[right])
    assert read(built) == (4.0, 1, 4.0, 1)


@pytest.mark.parametrize("wrong", [{"amount": "3"}, {"amount": -1.0}, {"paid_at": "2030-01-01T00:00:00Z"}])
def test_a_correction_that_is_wrong_takes_nothing_back(built, table, wrong):
    before = sale(2, paid=0.5, packed=0.5, amount=2.0)
    push(table, built, before)
    with pytest.raises(PushError) as caught:
        push(table, built, sale(3), before | wrong, retract=[before], key="k")
    (column,) = wrong
    assert str(caught.value).startswith(f"table 'sales': rows 1: {column}: ")
    assert str(caught.value).endswith(": nothing is changed, as all rows of a push that takes rows back must be right")
    assert read(built) == (6.0, 2, 2.0, 2)
    assert built.refused_since("sales", 0) == []
    assert push(table, built, before | {"amount": 3.0}, retract=[before], key="k").repeated is False
    assert read(built) == (7.0, 2, 3.0, 2)


def test_a_row_that_no_view_takes_cannot_be_taken_back(built, table):
    nobodys = sale(2) | {"shop": None}
    with pytest.raises(PushError, match="retract 1: no view of the table takes it"):
        push(table, built, retract=[sale(1, paid=1, packed=1, amount=4.0), nobodys])
    with pytest.raises(PushError, match=r"retract 0: key: it must be a whole number \(Int64\)"):
        push(table, built, retract=[sale("1")])
    assert read(built) == (4.0, 1, 4.0, 1)


@pytest.mark.parametrize("strange", [2**70, "\ud800", 10**400], ids=["70 bits", "half a pair", "1e400"])
def test_what_no_json_holds_is_quarantined_as_well(built, table, strange):
    done = push(table, built, sale(2), sale(strange), key="k")
    assert (done.rows, [(each.row, each.rules) for each in done.refused]) == (
        1,
        [(1, "key: it must be a whole number (Int64)")],
    )
    ((_, _, kept),) = built.refused_since("sales", 0)
    assert json.loads(kept.row)["key"] == strange


class Narrow:
    """A contract with wider types than the table that views read."""

    def columns(self):
        return {"shop": pl.String(), "at": pl.Datetime("us", "UTC"), "count": pl.Int64(), "size": pl.Float64()}

    def judge(self, rows):
        return rows, []


def test_a_value_that_the_contract_takes_and_the_table_cannot_hold_is_quarantined(store):
    view = FeatureViewSpec(
        name="sizes", description="Sizes.", entity=["shop"], table="sizes", known_at="at",
        latest={"count": "count", "size": "size"},
    )  # fmt: skip
    schema = {"shop": pl.String, "at": MOMENT, "count": pl.Int8, "size": pl.Float32}
    build_view(store, view, pl.LazyFrame(schema=schema), as_of=NOW, max_age=timedelta(days=1), build="b")
    row = {"shop": "a", "at": NOW.isoformat(), "count": 1, "size": 1.5}
    done = push(
        PushedTable("sizes", [view], Narrow, timedelta(0)), store, row | {"count": 128}, row, row | {"size": 1e39}
    )
    assert done.rows == 1
    assert [(each.row, each.rules) for each in done.refused] == [
        (0, "count: it must be a whole number (Int8)"),
        (2, "size: it must be a finite number (Float32)"),
    ]


def test_a_fact_of_the_table_is_taken_back_and_stays_so_until_it_is_pushed_again(built, table):
    delivered = sale(1, paid=1, packed=1, amount=4.0)
    push(table, built, sale(2, paid=2, packed=2, amount=2.0), retract=[delivered])
    assert read(built) == (2.0, 1, 2.0, 1)
    push(table, built, delivered)
    assert read(built) == (6.0, 2, 4.0, 2)


def test_a_view_without_a_build_takes_nothing_and_neither_does_any_other(store, table):
    build_view(store, SHOPS, frame(sale(1)).lazy(), as_of=NOW, max_age=timedelta(days=1), build="b1")
    with pytest.raises(NoBuild, match="'tills' has no build"):
        push(table, store, sale(2))
    assert store.pushed_since("shops", 0) == []


def test_a_note_is_kept_with_the_facts_or_not_at_all(built, table):
    def position():
        with built.reading() as reading:
            return reading.note("stream")

    with pytest.raises(PushError):
        push(table, built, retract=[sale(9)], notes=[Note("stream", "3")])
    assert position() is None
    push(table, built, sale(2), notes=[Note("stream", "4")])
    assert position() == "4"


@pytest.mark.slow
@pytest.mark.parametrize("make_store", ["sqlite", "redis"], indirect=True)
def test_ten_thousand_rows_at_once_out_of_order_are_what_the_engine_says(built, table):
    rows = [sale(n, shop="ab"[n % 2], till=n % 7, paid=(n * 37 % 1000) / 100, packed=(n % 11) / 3, amount=n % 90 / 7 + 0.01)  # noqa: E501
            for n in range(2, 10_002)]  # fmt: skip
    assert push(table, built, *rows).rows == 10_000
    everything = frame(sale(1, paid=1, packed=1, amount=4.0), *rows)
    spine = pl.DataFrame({"shop": ["a", "b"], "till": [1, 4], "at": [NOW] * 2}, schema_overrides={"at": MOMENT})
    for number, (shop, till) in enumerate((("a", 1), ("b", 4))):
        expected = [
            value
            for view in (SHOPS, TILLS)
            for value in compute_features(view, spine, everything, time="at").select(view.table_features).row(number)
        ]
        assert list(read(built, shop, till)) == expected


def test_of_those_who_require_a_note_as_it_was_one_pushes(built, table):
    key = "position:till"
    outcomes, begin = [], threading.Barrier(4)

    def push_one(number):
        begin.wait()
        try:
            push(table, built, sale(2, amount=2.0), notes=[Note(key, str(number))], required={key: None})
        except NoteChanged as error:
            outcomes.append(str(error))
        else:
            outcomes.append(number)

    threads = [threading.Thread(target=push_one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [each for each in outcomes if type(each) is int]
    assert [each for each in outcomes if each != winner] == [f"{key}: changed by somebody else in the meantime"] * 3
    assert read(built)[:2] == (6.0, 2)
    with built.reading() as reading:
        assert reading.note(key) == str(winner)
    push(table, built, sale(3, amount=3.0), notes=[Note(key, "5")], required={key: str(winner)})
    assert read(built)[:2] == (9.0, 3)


def test_what_lies_in_the_lake_is_forgotten_and_later_rows_keep_their_numbers(built, table, tmp_path):
    from ml_assets.lake import Lake
    from ml_assets.online.export import SEQ, export_refused, quarantine_key

    lake = Lake(str(tmp_path / "lake"))
    push(table, built, sale(2, amount=-1.0), sale(3, amount=-1.0))
    (first, second) = (number for number, _, _ in built.refused_since("sales", 0))
    built.forget_refused("other", second)
    built.forget_refused("sales", first)
    assert [number for number, _, _ in built.refused_since("sales", 0)] == [second]
    assert export_refused(built, lake, "sales") == 1
    assert built.refused_since("sales", 0) == []
    push(table, built, sale(4, amount=-1.0))
    ((third, _, _),) = built.refused_since("sales", second)
    assert third > second
    # The lake has it, and the store was killed before it forgot.
    built.forget_refused = lambda *_: None
    assert export_refused(built, lake, "sales") == 1
    del built.forget_refused
    assert export_refused(built, lake, "sales") == 0
    assert built.refused_since("sales", 0) == []
    assert lake.scan(quarantine_key("sales")).collect()[SEQ].sort().to_list() == [second, third]
