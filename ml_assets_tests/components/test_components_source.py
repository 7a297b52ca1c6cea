import io
import zipfile
from datetime import UTC, datetime, timedelta
from traceback import format_exception

import dagster as dg
import polars as pl
import pytest

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY, MARCH = "2024-01", "2024-02", "2024-03"
CHECKS = {"contract", "conservation", "completeness", "unique_key", "row_count"}


def orders(drop, rows=200, first=None):
    """Good rows of one month, one each hour."""
    first = 1000 * (int(drop[-2:]) - 1) if first is None else first
    start = datetime.fromisoformat(f"{drop}-01").replace(tzinfo=UTC)
    placed = [start + timedelta(hours=i) for i in range(rows)]
    return pl.DataFrame(
        {
            "id": range(first, first + rows),
            "customer": [f"c{i % 7}" for i in range(rows)],
            "amount": [float(i % 100) for i in range(rows)],
            "placed_at": placed,
            "settled_at": [at + timedelta(days=2) for at in placed],
            "returned": [i % 4 == 0 for i in range(rows)],
        }
    )


def set_rows(frame, rows, **values):
    chosen = pl.int_range(frame.height).is_in(list(rows))
    return frame.with_columns(
        pl.when(chosen).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


@pytest.fixture
def shop(tmp_path, make_project):
    """Two deliveries, one monthly and one whole, and a view and a table downstream."""
    delivered = tmp_path / "delivered"
    delivered.mkdir()
    monthly = {"grain": "monthly", "start": "2024-01", "end": "2024-05"}
    project = make_project(
        {
            "type": "ml_assets.Source",
            "attributes": {
                "name": "orders",
                "description": "One row per order.",
                "where": {"path": str(delivered / "{partition}.csv")},
                "drops": monthly,
                "contract": "CONTRACTS:Orders",
                "key_columns": ["id"],
                "required": ["customer", "amount"],
            },
        },
        {
            "type": "ml_assets.Source",
            "attributes": {
                "name": "customers",
                "description": "One row per customer.",
                "where": {"path": str(delivered / "customers.csv.zip")},
                "contract": "CONTRACTS:Customers",
                "key_columns": ["customer"],
            },
        },
        {
            "type": "ml_assets.Spine",
            "attributes": {
                "name": "orders",
                "table": "orders/validated",
                "key": ["id"],
                "time": "placed_at",
                "partition": "_drop",
                "drops": monthly,
            },
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": {
                "name": "order",
                "description": "The order itself.",
                "spine": "orders",
                "entity": ["id"],
                "request": {"price": "amount"},
            },
        },
    )
    (delivered / "customers.csv.zip").write_bytes(zipped("customer,city\nc0,Ulm\nc1,Ulm\n"))
    return Shop(project, delivered)


def zipped(text):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("customers.csv", text)
    return packed.getvalue()


class Shop:
    def __init__(self, project, delivered):
        self.project, self.delivered, self.lake = project, delivered, project.lake

    def deliver(self, drop, frame):
        path = self.delivered / f"{drop}.csv"
        if isinstance(frame, pl.DataFrame):
            frame.write_csv(path)
        else:
            path.write_bytes(frame)

    def live(self, *drops):
        """Ingest, validate and featurize."""
        return self.project.run("orders/raw", "orders/validated", "orders/quarantine", "features/order", drops=drops)

    def rows(self, table):
        return dict(self.lake.scan(f"orders/{table}").group_by("_drop").len().collect().sort("_drop").iter_rows())


def verdicts(outcome, name):
    """The evaluations of one check of the gate, by drop."""
    return {c.partition: c for c in outcome.result.get_asset_check_evaluations() if c.check_name == name}


def test_good_drops_go_through_and_every_check_tells_what_it_saw(shop):
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, orders(FEBRUARY, 150, first=1000))
    outcome = shop.live(JANUARY, FEBRUARY)
    assert outcome.success
    assert shop.rows("raw") == shop.rows("validated") == {JANUARY: 200, FEBRUARY: 150}
    assert shop.rows("quarantine") == {}
    for name in CHECKS:
        checks = verdicts(outcome, name)
        assert set(checks) == {JANUARY, FEBRUARY}, name
        for drop, check in checks.items():
            assert check.passed, name
            assert {"observed", "threshold"} <= set(check.metadata), name
            assert check.metadata["drop"].value == drop
    metadata = outcome.metadata("orders/validated")
    assert metadata["dagster/row_count"] == 350
    described = {column.name: column.description for column in metadata["dagster/column_schema"].columns}
    assert described["amount"] == "Price in euro"


def test_raw_rows_carry_their_drop_and_the_hash_of_its_content(shop):
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, orders(FEBRUARY))
    outcome = shop.live(JANUARY, FEBRUARY)
    hashes = dict(shop.lake.scan("orders/raw").group_by("_drop").agg(pl.col("_content_hash").unique()).collect().rows())
    assert {drop: len(found) for drop, found in hashes.items()} == {JANUARY: 1, FEBRUARY: 1}
    assert hashes[JANUARY] != hashes[FEBRUARY]
    assert outcome.metadata("orders/raw")["content_hashes"] == {drop: found[0] for drop, found in hashes.items()}


def test_a_rerun_changes_nothing_but_the_version(shop):
    shop.deliver(JANUARY, orders(JANUARY))
    shop.live(JANUARY)
    tables = ("orders/raw", "orders/validated", "orders/quarantine", "features/order")
    before = {key: shop.lake.scan(key).collect() for key in tables}
    assert shop.live(JANUARY).success
    for key in tables:
        assert shop.lake.version(key) == 1
        assert shop.lake.scan(key).collect().equals(before[key])


def test_a_drop_delivered_again_replaces_the_first_delivery(shop):
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [3], amount=-1.0))
    shop.live(JANUARY)
    assert shop.rows("quarantine") == {JANUARY: 1}
    shop.deliver(JANUARY, orders(JANUARY, 190))
    assert shop.live(JANUARY).success
    assert shop.rows("validated") == {JANUARY: 190}
    assert shop.rows("quarantine") == {}


UNREADABLE = {
    "a renamed column": (
        orders(FEBRUARY).rename({"amount": "price"}).write_csv().encode(),
        ["source 'orders'", "drop '2024-02'", "column 'amount'", "missing column"],
    ),
    "a wrong type": (
        orders(FEBRUARY).with_columns(amount=pl.lit("cheap")).write_csv().encode(),
        ["source 'orders'", "drop '2024-02'", "column 'amount'", "wrong type"],
    ),
    "undecodable bytes": (
        b"id,customer\n1,\xff\xfe\n",
        ["source 'orders'", "drop '2024-02'", "undecodable bytes"],
    ),
    "an empty drop": (
        orders(FEBRUARY, 0).write_csv().encode(),
        ["source 'orders'", "drop '2024-02'", "empty drop"],
    ),
    "a missing file": (None, ["source 'orders'", "drop '2024-02'", "missing file", "2024-02.csv"]),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_an_unreadable_drop_is_one_clear_error_and_the_previous_version_stays(shop, fault):
    content, words = UNREADABLE[fault]
    shop.deliver(JANUARY, orders(JANUARY))
    shop.live(JANUARY)
    if content is not None:
        shop.deliver(FEBRUARY, content)

    outcome = shop.live(FEBRUARY)

    (error,) = outcome.errors
    assert [word for word in words if word not in error] == []
    assert len(error.splitlines()) == 1
    assert ";" in error, "it does not say what to do"
    assert outcome.materialized == []
    assert shop.rows("raw") == shop.rows("validated") == {JANUARY: 200}
    assert shop.lake.version("orders/raw") == shop.lake.version("orders/validated") == 0


def test_a_truncated_zip_is_one_clear_error_and_the_previous_version_stays(shop):
    keys = ("customers/raw", "customers/validated", "customers/quarantine")
    assert shop.project.run(*keys).success
    path = shop.delivered / "customers.csv.zip"
    path.write_bytes(path.read_bytes()[:-30])

    outcome = shop.project.run(*keys)

    (error,) = outcome.errors
    assert "source 'customers', drop 'whole': corrupt archive: the zip of" in error
    assert error.endswith("have it delivered again")
    assert outcome.materialized == []
    assert shop.lake.scan("customers/validated").collect().height == 2
    assert shop.lake.version("customers/validated") == 0


def test_one_percent_of_impossible_rows_goes_to_quarantine_and_blocks_what_lies_behind(shop):
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [17, 99], amount=-5.0))

    outcome = shop.live(JANUARY)

    assert shop.rows("raw") == {JANUARY: 200}
    assert shop.rows("validated") == {}, "a drop that fails its gate is withheld"
    bad = shop.lake.scan("orders/quarantine").sort("id").collect()
    assert bad["id"].to_list() == [17, 99]
    assert bad["_row"].to_list() == [18, 100]
    assert bad["_columns"].to_list() == ["amount", "amount"]
    assert all("amount: " in rules and "0" in rules for rules in bad["_rules"])
    contract = outcome.check("orders/validated:contract")
    assert not contract.passed
    assert contract.severity == dg.AssetCheckSeverity.ERROR
    assert (contract.metadata["observed"].value, contract.metadata["threshold"].value) == (0.01, 0.0)
    assert outcome.check("orders/validated:conservation").passed
    assert not outcome.success
    assert "features/order" not in outcome.materialized


def test_a_broken_rule_across_columns_is_named(shop):
    late = datetime(2023, 1, 1, tzinfo=UTC)
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [5], settled_at=late))
    shop.live(JANUARY)
    (bad,) = shop.lake.scan("orders/quarantine").collect().to_dicts()
    assert (bad["id"], bad["_rules"], bad["_columns"]) == (5, "settled_after_placed", "placed_at; settled_at")


def test_an_order_that_is_delivered_twice_is_kept_once(shop):
    good = orders(JANUARY)
    shop.deliver(JANUARY, pl.concat([good, good[:1]]))
    outcome = shop.live(JANUARY)
    assert shop.rows("validated") == {}
    (bad,) = shop.lake.scan("orders/quarantine").collect().to_dicts()
    assert (bad["id"], bad["_row"], bad["_rules"]) == (0, 201, "unique(id): repeated row")
    assert not outcome.check("orders/validated:contract").passed
    assert outcome.check("orders/validated:unique_key").passed


def test_two_orders_that_share_a_key_are_both_refused(shop):
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [1], id=0))
    outcome = shop.live(JANUARY)
    bad = shop.lake.scan("orders/quarantine").collect()
    assert bad["_row"].to_list() == [1, 2]
    assert bad["_rules"].to_list() == ["unique(id): conflicting rows"] * 2
    assert not outcome.check("orders/validated:contract").passed
    assert "features/order" not in outcome.materialized


def test_missing_values_warn_and_hold_nothing_back(shop):
    shop.deliver(JANUARY, set_rows(orders(JANUARY), range(10), amount=None))
    outcome = shop.live(JANUARY)
    completeness = outcome.check("orders/validated:completeness")
    assert not completeness.passed
    assert completeness.severity == dg.AssetCheckSeverity.WARN
    assert (completeness.metadata["observed"].value, completeness.metadata["threshold"].value) == (0.05, 0.01)
    assert outcome.success
    assert "features/order" in outcome.materialized


def test_a_drop_much_smaller_than_those_before_it_warns(shop):
    for drop in (JANUARY, FEBRUARY):
        shop.deliver(drop, orders(drop))
    shop.live(JANUARY, FEBRUARY)
    shop.deliver(MARCH, orders(MARCH, 99))
    outcome = shop.live(MARCH)
    count = outcome.check("orders/validated:row_count")
    assert not count.passed
    assert count.severity == dg.AssetCheckSeverity.WARN
    assert (count.metadata["observed"].value, count.metadata["threshold"].value) == (99.0, "100 to 400")
    assert outcome.success


def test_each_drop_of_a_run_has_its_own_verdict(shop):
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, set_rows(orders(FEBRUARY), range(4), amount=-5.0))
    shop.deliver(MARCH, set_rows(orders(MARCH), range(2), amount=-5.0))
    outcome = shop.live(JANUARY, FEBRUARY, MARCH)
    contract = verdicts(outcome, "contract")
    assert {drop: check.passed for drop, check in contract.items()} == {JANUARY: True, FEBRUARY: False, MARCH: False}
    assert {drop: check.metadata["observed"].value for drop, check in contract.items()} == {
        JANUARY: 0.0,
        FEBRUARY: 0.02,
        MARCH: 0.01,
    }
    assert not outcome.success
    assert "features/order" not in outcome.materialized


def declared(tmp_path, **change):
    attributes = {
        "name": "orders",
        "description": "One row per order.",
        "where": {"path": str(tmp_path / "orders.csv")},
        "contract": "CONTRACTS:Orders",
        "key_columns": ["id"],
    }
    return {"type": "ml_assets.Source", "attributes": attributes | change}


@pytest.mark.parametrize(
    ("change", "words"),
    [({"surprise": 1}, "surprise"), ({"drops": {"grain": "monthly", "start": "2024-13"}}, "'2024-13' is no month")],
    ids=["unknown field", "no month"],
)
def test_a_wrong_declaration_does_not_load_and_says_why(tmp_path, make_project, change, words):
    project = make_project(declared(tmp_path, **change))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's own error has no public name
        project.definitions  # noqa: B018
    assert words in "".join(format_exception(caught.value))


def test_a_contract_that_does_not_exist_is_named(tmp_path, make_project):
    outcome = make_project(declared(tmp_path, contract="CONTRACTS:Nothing")).run("orders/raw")
    (error,) = outcome.errors
    assert "contracts:Nothing' names no pandera.polars.DataFrameModel" in error


def monthly(delivered, **change):
    """A source of monthly files, by its declaration."""
    attributes = {
        "where": {"path": str(delivered / "{partition}.csv")},
        "drops": {"grain": "monthly", "start": "2024-01", "end": "2024-07", "column": "placed_at"},
    }
    return declared(delivered, **attributes | change)


GATE = ("orders/raw", "orders/validated", "orders/quarantine")


@pytest.fixture
def open_shop(tmp_path, make_project):
    """Opens a shop whose source is changed in its declaration."""

    def opened(**change):
        return Shop(make_project(monthly(tmp_path, **change)), tmp_path)

    return opened


def test_a_broken_contract_is_told_with_drop_rows_values_rule_and_place(shop):
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [17, 99], amount=-5.0))
    (error,) = shop.live(JANUARY).errors
    assert error.endswith(
        "source 'orders', drop '2024-01': contract failed; 2 of 200 rows (1.000%) break a rule, allowed are 0.000%; "
        "amount: greater_than_or_equal_to(0): 2 rows, row 18 (id=17) has amount=-5.0, row 100 (id=99) has amount=-5.0; "
        f"they are in {shop.lake.root}/orders/quarantine with _drop = '2024-01'; correct the delivery, or the contract"
    )
    assert "\n" not in error


def test_every_broken_drop_of_a_run_is_told(shop):
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [17], amount=-5.0))
    shop.deliver(FEBRUARY, orders(FEBRUARY))
    shop.deliver(MARCH, set_rows(orders(MARCH), range(7), amount=-1.0, customer=None))
    (error,) = shop.live(JANUARY, FEBRUARY, MARCH).errors
    assert "drop '2024-01': contract failed; 1 of 200 rows" in error
    assert "drop '2024-03': contract failed; 7 of 200 rows" in error
    assert "customer: not_nullable: 7 rows, row 1 (id=2000) has customer=None" in error
    assert "2024-02" not in error


def test_rows_of_another_month_than_the_files_are_refused(open_shop):
    shop = open_shop()
    stray = datetime(2024, 3, 1, tzinfo=UTC)
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, set_rows(orders(FEBRUARY), [4], placed_at=stray, settled_at=stray))
    outcome = shop.project.run(*GATE, drops=[JANUARY, FEBRUARY])
    found = verdicts(outcome, "in_period")
    assert {drop: check.passed for drop, check in found.items()} == {JANUARY: True, FEBRUARY: False}
    assert found[FEBRUARY].blocking
    (bad,) = shop.lake.scan("orders/quarantine").collect().to_dicts()
    assert (bad["id"], bad["_rules"], bad["_columns"]) == (1004, "placed_at: in 2024-02", "placed_at")
    (error,) = outcome.errors
    assert "drop '2024-02': contract, in_period failed; 1 of 200 rows" in error
    assert "placed_at: in 2024-02: 1 row, row 5 (id=1004) has placed_at=2024-03-01 00:00:00+00:00" in error


def test_a_month_delivered_again_under_the_name_of_the_next_is_refused_and_told(open_shop):
    for change in ({}, {"drops": {"grain": "monthly", "start": "2024-01", "end": "2024-07"}}):
        shop = open_shop(**change)
        shop.deliver(JANUARY, orders(JANUARY))
        assert shop.project.run(*GATE, drops=[JANUARY]).success
        shop.deliver(FEBRUARY, orders(JANUARY))
        outcome = shop.project.run(*GATE, drops=[FEBRUARY])
        (error,) = outcome.errors
        assert "this is the delivery of 2024-01 again: its rows are the same" in error
        assert "unique(id): in drop 2024-01: 200 rows, row 1 (id=0), row 2 (id=1), row 3 (id=2)" in error
        assert not outcome.check("orders/validated:unique_across_drops").passed
        assert (shop.rows("validated"), shop.rows("quarantine")) == ({JANUARY: 200}, {FEBRUARY: 200})


def test_of_two_drops_that_share_a_key_the_first_keeps_it_whatever_is_made_again(open_shop):
    shop = open_shop()
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, set_rows(orders(FEBRUARY), [3, 8], id=7).filter(pl.int_range(pl.len()) != 8))
    both = shop.project.run(*GATE, drops=[JANUARY, FEBRUARY])
    passed = {drop: check.passed for drop, check in verdicts(both, "unique_across_drops").items()}
    assert passed == {JANUARY: True, FEBRUARY: False}
    assert shop.rows("quarantine") == {FEBRUARY: 1}
    again = shop.project.run(*GATE, drops=[JANUARY])
    assert again.success
    assert shop.rows("validated") == {JANUARY: 200}
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [7], id=999))
    shop.project.run(*GATE, drops=[JANUARY])
    assert shop.project.run(*GATE, drops=[FEBRUARY]).success
    assert shop.rows("validated") == {JANUARY: 200, FEBRUARY: 199}


def test_keys_of_a_drop_that_fails_count_only_as_far_as_they_are_in_use(open_shop):
    shop = open_shop(after_failure="continue")
    broken, shares_a_key = set_rows(orders(JANUARY), [3], amount=-1.0), set_rows(orders(FEBRUARY), [3], id=7)
    shop.deliver(JANUARY, broken)
    shop.deliver(FEBRUARY, shares_a_key)
    both = shop.project.run(*GATE, drops=[JANUARY, FEBRUARY])
    assert verdicts(both, "unique_across_drops")[FEBRUARY].passed
    assert shop.rows("validated") == {FEBRUARY: 200}

    shop = open_shop(after_failure="continue")
    shop.deliver(JANUARY, orders(JANUARY))
    assert shop.project.run(*GATE, drops=[JANUARY]).success
    shop.deliver(JANUARY, broken)
    shop.deliver(FEBRUARY, shares_a_key)
    both = shop.project.run(*GATE, drops=[JANUARY, FEBRUARY])
    assert not verdicts(both, "unique_across_drops")[FEBRUARY].passed
    assert shop.rows("validated") == {JANUARY: 200}


def test_a_list_that_is_delivered_anew_each_month_may_repeat_its_keys(open_shop):
    shop = open_shop(key_scope="drop", drops={"grain": "monthly", "start": "2024-01", "end": "2024-07"})
    for month in (JANUARY, FEBRUARY):
        shop.deliver(month, orders(JANUARY))
    assert shop.project.run(*GATE, drops=[JANUARY, FEBRUARY]).success
    assert shop.rows("validated") == {JANUARY: 200, FEBRUARY: 200}


def test_rows_that_lie_in_no_drop_are_counted_and_warned_of(tmp_path, make_project):
    sentinel = datetime(1970, 1, 1, tzinfo=UTC)
    frame = pl.concat([orders(JANUARY), orders(FEBRUARY), orders(MARCH)])
    frame = set_rows(set_rows(frame, [0, 1, 2], placed_at=sentinel), [250], placed_at=None)
    frame.write_csv(tmp_path / "orders.csv")
    drops = {"grain": "monthly", "start": "2024-01", "end": "2024-07", "column": "placed_at"}
    project = make_project(declared(tmp_path, drops=drops))
    outcome = project.run(*GATE, drops=[JANUARY, FEBRUARY])
    assert outcome.success
    shop = Shop(project, tmp_path)
    assert shop.rows("raw") == {JANUARY: 197, FEBRUARY: 199}
    check = outcome.check("orders/raw:outside_drops")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["rows_outside"].value == {"before 2024-01": 3, "without placed_at": 1}
    assert check.metadata["rows_not_ingested"].value == 200
    assert check.metadata["observed"].value == pytest.approx(4 / 600)
    told = project.lake.scan("orders/placement").collect().rows()
    assert told == [("before 2024-01", 3, False), ("without placed_at", 1, False), ("not ingested", 200, True)]


NO_NUMBERS = {3: float("inf"), 8: float("-inf"), 11: 1e39, 20: float("nan")}


def with_no_numbers(frame):
    for row, value in NO_NUMBERS.items():
        frame = set_rows(frame, [row], amount=value)
    return frame


def unbounded(project):
    """The contract as the scaffolder writes it where it knows no bounds."""
    (contracts,) = project.folder.glob("*/contracts.py")
    contracts.write_text(contracts.read_text().replace("ge=0, le=1000, nullable=True", "nullable=True"))


def test_an_infinite_number_goes_to_quarantine_and_the_other_rows_go_on(open_shop):
    shop = open_shop(max_bad_share=0.0)
    unbounded(shop.project)
    shop.deliver(JANUARY, with_no_numbers(orders(JANUARY)))
    outcome = shop.project.run(*GATE, drops=[JANUARY])
    assert outcome.success, outcome.errors
    bad = shop.lake.scan("orders/quarantine").sort("id").collect()
    assert bad.select("id", "amount", "_rules").rows() == [
        (3, float("inf"), "amount: finite"),
        (8, float("-inf"), "amount: finite"),
        (11, 1e39, "amount: finite"),
    ]
    kept = shop.lake.scan("orders/validated").sort("id").collect()
    assert kept.height == 197
    assert kept.filter(pl.col("amount").is_null())["id"].to_list() == [20]
    evidence = outcome.check("orders/validated:contract").metadata["evidence"].value
    assert evidence["values_made_null"] == {"amount": 1}
    assert (evidence["bad_rows"], evidence["rows_set_aside"]) == (0, 3)


def test_a_row_that_also_breaks_the_contract_is_not_set_aside(open_shop):
    shop = open_shop()
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [3], amount=float("inf")))
    outcome = shop.project.run(*GATE, drops=[JANUARY])
    assert not outcome.success
    assert outcome.check("orders/validated:contract").metadata["evidence"].value["bad_rows"] == 1


def test_an_infinite_number_becomes_null_where_that_is_declared(open_shop):
    shop = open_shop(infinite="null")
    unbounded(shop.project)
    shop.deliver(JANUARY, with_no_numbers(orders(JANUARY)))
    outcome = shop.project.run(*GATE, drops=[JANUARY])
    assert outcome.success, outcome.errors
    assert shop.rows("quarantine") == {}
    kept = shop.lake.scan("orders/validated").filter(pl.col("amount").is_null()).collect()
    assert sorted(kept["id"]) == sorted(NO_NUMBERS)
    assert outcome.check("orders/validated:contract").metadata["evidence"].value["values_made_null"] == {"amount": 4}
    raw = shop.lake.scan("orders/raw").filter(pl.col("id") == 3).collect()
    assert raw["amount"].to_list() == [float("inf")]


BROKEN = {"amount": -5.0}


def live_on(shop, *drops):
    """One run per drop, as they come; whether each succeeded."""
    return [shop.live(drop).success for drop in drops]


def amounts(shop):
    """Sum of the amounts in use, by drop."""
    rows = shop.lake.scan("orders/validated").group_by("_drop").agg(pl.col("amount").sum()).collect().sort("_drop")
    return dict(rows.iter_rows())


def test_a_later_drop_waits_for_one_that_failed_and_both_go_on_when_it_is_delivered_right(shop):
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, set_rows(orders(FEBRUARY), [4], **BROKEN))
    shop.deliver(MARCH, orders(MARCH))
    assert live_on(shop, JANUARY, FEBRUARY, MARCH) == [True, False, False]
    assert shop.rows("validated") == {JANUARY: 200}
    assert shop.rows("raw") == {JANUARY: 200, FEBRUARY: 200, MARCH: 200}, "what is withheld stays in raw"
    again = shop.live(MARCH)
    (error,) = again.errors
    assert "source 'orders', drop '2024-03': it waits for 2024-02" in error
    assert "after_failure: continue" in error
    waits = again.check("orders/validated:in_order")
    assert (waits.passed, waits.blocking, waits.metadata["in_use"].value[:19]) == (False, True, "nothing of the drop")
    assert waits.metadata["evidence"].value == {"waits_for": [FEBRUARY]}

    shop.deliver(FEBRUARY, orders(FEBRUARY))
    right = shop.live(FEBRUARY)
    assert right.success
    assert shop.rows("validated") == {JANUARY: 200, FEBRUARY: 200, MARCH: 200}
    made = right.result.get_asset_materialization_events()
    assert {e.partition for e in made if e.asset_key.to_user_string() == "orders/validated"} == {FEBRUARY, MARCH}
    for name in ("contract", "in_order", "history"):
        assert {drop: check.passed for drop, check in verdicts(right, name).items()} == {FEBRUARY: True, MARCH: True}
    assert shop.lake.scan("orders/withheld").collect().is_empty()


def test_a_later_drop_goes_on_without_one_that_failed_where_that_is_declared_and_says_so(open_shop):
    shop = open_shop(after_failure="continue")
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, set_rows(orders(FEBRUARY), [4], **BROKEN))
    shop.deliver(MARCH, orders(MARCH))
    gate = [shop.project.run(*GATE, drops=[drop]) for drop in (JANUARY, FEBRUARY, MARCH)]
    assert [outcome.success for outcome in gate] == [True, False, True]
    assert shop.rows("validated") == {JANUARY: 200, MARCH: 200}
    told = gate[2].check("orders/validated:history")
    assert (told.passed, told.severity, told.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert told.metadata["evidence"].value == {"withheld": [FEBRUARY], "never_delivered": []}

    shop.deliver(FEBRUARY, orders(FEBRUARY))
    right = shop.project.run(*GATE, drops=[FEBRUARY])
    assert {drop: check.passed for drop, check in verdicts(right, "history").items()} == {FEBRUARY: True, MARCH: True}
    assert verdicts(right, "contract").keys() == {FEBRUARY}
    assert shop.rows("validated") == {JANUARY: 200, FEBRUARY: 200, MARCH: 200}


def test_a_period_that_was_never_delivered_holds_nothing_back_and_is_named(shop):
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(MARCH, orders(MARCH))
    shop.live(JANUARY)
    outcome = shop.live(MARCH)
    assert outcome.success
    evidence = outcome.check("orders/validated:history").metadata["evidence"].value
    assert evidence == {"withheld": [], "never_delivered": [FEBRUARY]}
    shop.deliver(FEBRUARY, orders(FEBRUARY))
    late = shop.live(FEBRUARY)
    assert {drop: check.passed for drop, check in verdicts(late, "history").items()} == {FEBRUARY: True, MARCH: True}


def test_a_broken_correction_is_withheld_and_the_good_delivery_before_it_stays_in_use(shop):
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, orders(FEBRUARY))
    shop.live(JANUARY, FEBRUARY)
    before = amounts(shop)
    shop.deliver(JANUARY, set_rows(set_rows(orders(JANUARY), [9], amount=999.0), [4], **BROKEN))
    outcome = shop.live(JANUARY)
    assert not outcome.success
    assert amounts(shop) == before
    assert "features/order" not in outcome.materialized
    assert outcome.check("orders/validated:contract").metadata["in_use"].value.startswith("the delivery before")
    shop.deliver(MARCH, orders(MARCH))
    assert shop.live(MARCH).success, "nothing is missing before it"
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [9], amount=999.0))
    assert shop.live(JANUARY).success
    assert amounts(shop)[JANUARY] == before[JANUARY] - 9 + 999


def test_several_drops_wait_and_go_on_together_but_for_one_that_is_broken_itself(shop):
    april = "2024-04"
    shop.deliver(JANUARY, set_rows(orders(JANUARY), [4], **BROKEN))
    shop.deliver(FEBRUARY, orders(FEBRUARY))
    shop.deliver(MARCH, set_rows(orders(MARCH), [4], **BROKEN))
    shop.deliver(april, orders(april))
    assert not shop.live(JANUARY, FEBRUARY, MARCH, april).success
    assert shop.rows("validated") == {}
    shop.deliver(JANUARY, orders(JANUARY))
    assert shop.live(JANUARY).success
    assert shop.rows("validated") == {JANUARY: 200, FEBRUARY: 200}
    shop.deliver(MARCH, orders(MARCH))
    assert shop.live(MARCH).success
    assert shop.rows("validated") == {JANUARY: 200, FEBRUARY: 200, MARCH: 200, april: 200}


def test_a_list_that_breaks_its_contract_leaves_the_one_before_in_use(shop):
    keys = ("customers/raw", "customers/validated", "customers/quarantine")
    path = shop.delivered / "customers.csv.zip"
    assert shop.project.run(*keys).success
    path.write_bytes(zipped("customer,city\nc0,Bonn\nc0,Ulm\nc5,Ulm\n"))
    assert not shop.project.run(*keys).success
    cities = shop.lake.scan("customers/validated").select("customer", "city").collect().sort("customer").rows()
    assert cities == [("c0", "Ulm"), ("c1", "Ulm")]


def test_a_key_of_texts_stands_in_one_drop_as_well(open_shop):
    shop = open_shop(key_columns=["customer", "id"])
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, set_rows(orders(FEBRUARY), [0], customer="c0", id=0))
    outcome = shop.project.run(*GATE, drops=[JANUARY, FEBRUARY])
    passed = {drop: check.passed for drop, check in verdicts(outcome, "unique_across_drops").items()}
    assert passed == {JANUARY: True, FEBRUARY: False}


def with_rain(project, declared):
    """The contract knows a column that no delivery of January has."""
    (contracts,) = project.folder.glob("*/contracts.py")
    text = contracts.read_text().replace(
        "class Customers", f"class Rainy(Orders):\n    rain: {declared}\n\n\nclass Customers"
    )
    contracts.write_text("from typing import Optional\n" + text)


def rainy(drop, values=(0.5,)):
    frame = orders(drop)
    return frame.with_columns(rain=pl.Series([values[i % len(values)] for i in range(frame.height)], dtype=pl.Float64))


SINCE = 'pl.Float64 = pa.Field(ge=0, metadata={"since": "2024-02"})'


def test_a_column_that_begins_later_is_null_before_and_required_from_then_on(open_shop):
    shop = open_shop(contract="CONTRACTS:Rainy", required=["rain"])
    with_rain(shop.project, SINCE)
    shop.deliver(JANUARY, orders(JANUARY))
    shop.deliver(FEBRUARY, rainy(FEBRUARY))
    outcome = shop.project.run(*GATE, drops=[JANUARY, FEBRUARY])
    assert outcome.success, outcome.errors
    assert {drop: check.passed for drop, check in verdicts(outcome, "completeness").items()} == {
        JANUARY: True,
        FEBRUARY: True,
    }
    kept = shop.lake.scan("orders/validated").group_by("_drop").agg(pl.col("rain").count()).sort("_drop").collect()
    assert kept.rows() == [(JANUARY, 0), (FEBRUARY, 200)]
    shop.deliver(MARCH, orders(MARCH))
    (error,) = shop.project.run(*GATE, drops=[MARCH]).errors
    assert "source 'orders', drop '2024-03', column 'rain': missing column" in error
    shop.deliver(MARCH, rainy(MARCH, (0.5, None)))
    (error,) = shop.project.run(*GATE, drops=[MARCH]).errors
    assert "rain: not_nullable: 100 rows" in error


def test_an_optional_column_may_be_missing_from_any_drop_and_is_judged_where_it_is(open_shop):
    shop = open_shop(contract="CONTRACTS:Rainy")
    with_rain(shop.project, "Optional[pl.Float64] = pa.Field(ge=0)")
    shop.deliver(JANUARY, rainy(JANUARY))
    shop.deliver(FEBRUARY, orders(FEBRUARY))
    assert shop.project.run(*GATE, drops=[JANUARY, FEBRUARY]).success
    shop.deliver(MARCH, rainy(MARCH, (0.5, -1.0)))
    (error,) = shop.project.run(*GATE, drops=[MARCH]).errors
    assert "rain: greater_than_or_equal_to(0): 100 rows" in error


def test_history_need_not_be_written_again_when_a_column_joins_the_contract(open_shop):
    shop = open_shop(contract="CONTRACTS:Rainy")
    with_rain(shop.project, "Optional[pl.Float64] = pa.Field(ge=0)")
    for table in ("orders/raw", "orders/validated"):
        shop.lake.replace(
            table, orders(JANUARY).with_columns(_drop=pl.lit(JANUARY), _content_hash=pl.lit("")), {"_drop": [JANUARY]}
        )
    shop.deliver(FEBRUARY, rainy(FEBRUARY))
    assert shop.project.run(*GATE, drops=[FEBRUARY]).success
    kept = shop.lake.scan("orders/validated").group_by("_drop").agg(pl.col("rain").count()).sort("_drop").collect()
    assert kept.rows() == [(JANUARY, 0), (FEBRUARY, 200)]


def test_a_drop_of_which_everything_is_set_aside_does_not_pass(open_shop):
    shop = open_shop()
    unbounded(shop.project)
    shop.deliver(JANUARY, orders(JANUARY).with_columns(amount=pl.lit(float("inf"))))
    assert not shop.project.run(*GATE, drops=[JANUARY]).success
