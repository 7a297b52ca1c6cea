"""Declarations on tiny frames: what a test of a project may write, and what it is told."""

from datetime import UTC, datetime
from textwrap import dedent

import polars as pl
import pytest

from ml_assets import UnknownName, testing
from ml_assets.commands.init.project import create_project
from ml_assets.declarations.problems import DeclarationError
from ml_assets.features.errors import FeatureError
from ml_assets.lake import TableMissing
from ml_assets.quality.errors import ContractError

ORDER = {
    "id": 1, "customer": "ann", "amount": 20.0, "placed_at": "2024-03-01T10:00", "settled_at": "2024-03-03",
    "returned": True,
}  # fmt: skip
HISTORY = {
    "type": "ml_assets.FeatureView",
    "attributes": {
        "name": "history", "description": "Of the customer.", "spine": "orders", "table": "orders/validated",
        "entity": ["customer"], "known_at": "settled_at", "windows": ["7d"],
        "aggregates": {"returned": {"of": "CAST(returned AS INT)", "functions": ["count"]}},
    },
}  # fmt: skip
SPLIT = {"validation": "14d", "holdout": "14d", "gap": "2d"}
SENT_BACK = {
    "type": "ml_assets.Outcome",
    "attributes": {
        "name": "sent_back", "description": "Whether the customer sends anything back.", "spine": "orders",
        "table": "orders/validated", "entity": ["customer"], "happened_at": "placed_at", "known_at": "settled_at",
        "window": "7d", "settles": "2d", "where": "returned", "aggregate": {"functions": ["count"]},
        "label": "count > 0",
    },
}  # fmt: skip
STOCK = {
    "type": "ml_assets.FeatureView",
    "attributes": {
        "name": "stock", "description": "Of the shop.", "spine": "orders", "table": "counts", "entity": [],
        "known_at": "counted_at", "latest": {"items": "items"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(make_project, made_up_orders, tmp_path_factory):
    declared = made_up_orders.declared(tmp_path_factory.mktemp("none"), features=["order", "history"], split=SPLIT)
    return testing.project(make_project(*declared, HISTORY, STOCK, SENT_BACK).folder)


def test_a_feature_at_a_moment_sees_what_was_known_by_then(shop):
    given = shop.given("orders/validated", [ORDER])
    assert given.features("history", at="2024-03-03", customer="ann") == {"returned_count_7d": 1}
    assert given.features("history", at="2024-03-02T23:59:59", customer="ann") == {"returned_count_7d": 0}
    assert given.features("history", at=datetime(2024, 3, 10, tzinfo=UTC), customer="ann") == {"returned_count_7d": 0}
    assert given.features("history", at="2024-03-04", customer="bob") == {"returned_count_7d": 0}


def test_columns_that_do_not_matter_need_not_be_given(shop):
    given = shop.given("orders/validated", {"customer": "ann", "settled_at": "2024-03-03", "returned": True})
    assert given.features("history", at="2024-03-04", customer="ann") == {"returned_count_7d": 1}


def test_features_of_a_model_are_those_of_its_views(shop):
    given = shop.given("orders/validated", [ORDER])
    features = given.features("returns", at="2024-03-04", id=2, customer="ann", amount=5)
    assert features == {"price": 5.0, "returned_count_7d": 1}


def test_rows_of_many_moments_get_a_frame(shop):
    rows = pl.DataFrame({"customer": ["ann", "ann"], "placed_at": ["2024-03-02", "2024-03-05"]})
    computed = shop.given("orders/validated", [ORDER]).features("history", rows)
    assert computed["returned_count_7d"].to_list() == [0, 1]
    assert computed.schema["placed_at"] == pl.Datetime("us", "UTC")


def test_a_table_without_a_contract_has_its_moments_read(shop):
    given = shop.given("counts", [{"counted_at": "2024-03-01", "items": 5}, {"counted_at": "2024-03-02", "items": 7}])
    assert given.features("stock", at="2024-03-01T12:00") == {"items": 5}
    assert given.features("stock", at="2024-02-01") == {"items": None}


def test_what_is_given_leaves_the_project_as_it_was(shop):
    one = shop.given("orders/validated", [ORDER])
    other = one.given("orders/validated", [ORDER | {"settled_at": "2024-03-05"}])
    assert one.features("history", at="2024-03-04", customer="ann") == {"returned_count_7d": 1}
    assert other.features("history", at="2024-03-04", customer="ann") == {"returned_count_7d": 0}
    with pytest.raises(TableMissing, match="table 'orders/validated' is not given: give its rows with given"):
        shop.features("history", at="2024-03-04", customer="ann")
    assert "orders/validated (1 rows)" in repr(one)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda s: s.given("orders/valdated", []), UnknownName, "no table orders/valdated; did you mean orders/vali"),
        (lambda s: s.features("histories", at="2024-03-01"), UnknownName, "no model or feature view histories; did"),
        (
            lambda s: s.features("history", customer="ann"),
            ValueError,
            "features of history at which moment? Give at=..., or rows",
        ),
        (lambda s: s.features("history", at="2024-03-01"), ValueError, "features of history: give customer=... too"),
        (lambda s: s.features("history", at="soon", customer="a"), ValueError, "'soon' must be an ISO date or time"),
        (
            lambda s: s.given("counts", [{"items": 5}]).features("stock", at="2024-03-01"),
            FeatureError,
            "table 'counts' has no column 'counted_at'",
        ),
        (
            lambda s: s.given("orders/validated", [{"id": "one"}]),
            ValueError,
            "rows of orders/validated: column 'id' must be Int64, and is String",
        ),
        (
            lambda s: s.given("orders/validated", [{"custmer": "ann", "placed_at": "2024-03-01"}]),
            UnknownName,
            "no column of orders/validated custmer; did you mean customer?",
        ),
        (
            lambda s: s.outcome("send_back", at="2024-03-01"),
            UnknownName,
            "no outcome send_back; did you mean sent_back?",
        ),
        (lambda s: s.outcome("sent_back", at="2024-03-01"), ValueError, "the outcome sent_back: give customer=... too"),
        (lambda s: s.verdict("carts", [ORDER]), UnknownName, "no source carts; there are orders"),
        (lambda s: s.verdict("orders", {"id": 1}), ContractError, "rows of orders lack customer, amount, "),
    ],
)
def test_what_cannot_be_meant_is_one_clear_message(shop, ask, error, message):
    with pytest.raises(error) as raised:
        ask(shop)
    assert message in str(raised.value)


def test_an_outcome_is_that_of_the_window_after_the_moment(shop):
    given = shop.given("orders/validated", [ORDER])
    known_at = datetime(2024, 3, 9, tzinfo=UTC)
    after = given.outcome("sent_back", at="2024-02-29", customer="ann")
    assert after == {"count": 1, "sent_back": True, "sent_back_known_at": known_at}
    assert given.outcome("sent_back", at="2024-03-01T10:00", customer="ann")["sent_back"] is False
    assert given.outcome("sent_back", at="2024-02-23T09:59", customer="ann")["sent_back"] is False
    assert given.outcome("sent_back", at="2024-02-29", customer="bob")["sent_back"] is False


def test_a_fact_that_is_known_too_late_is_not_used_and_an_outcome_that_is_not_known_yet_is_null(shop):
    late = shop.given("orders/validated", [ORDER | {"settled_at": "2024-03-10"}])
    assert late.outcome("sent_back", at="2024-02-29", customer="ann")["sent_back"] is False
    given = shop.given("orders/validated", [ORDER])
    row = {"customer": "ann", "placed_at": "2024-02-29"}
    known = given.outcome("sent_back", row, complete_until="2024-03-09")
    assert known.select("customer", "sent_back").rows() == [("ann", True)]
    assert given.outcome("sent_back", row, complete_until="2024-03-08T23:59")["sent_back"].to_list() == [None]


def test_rows_that_fit_the_contract_pass(shop):
    verdict = shop.verdict("orders", ORDER)
    assert verdict.passes
    assert verdict.rules == [[]]
    assert repr(verdict) == "all 1 rows pass"
    assert verdict.validated["amount"].to_list() == [20.0]


def test_a_row_that_breaks_the_contract_goes_to_quarantine_with_the_rules_it_broke(shop):
    late = ORDER | {"id": 2, "settled_at": "2024-02-28"}
    dear = ORDER | {"id": 3, "amount": 5000.0, "customer": None}
    verdict = shop.verdict("orders", [ORDER, late, dear])
    assert verdict.rules == [
        [],
        ["settled_after_placed"],
        ["customer: not_nullable", "amount: less_than_or_equal_to(1000)"],
    ]
    assert verdict.quarantine["id"].to_list() == [2, 3]
    assert verdict.withheld
    assert not verdict.passes
    assert verdict.broken == [rule for rules in verdict.rules for rule in rules]
    assert repr(verdict).splitlines()[:2] == ["2 of 3 rows go to quarantine", "  row 2: settled_after_placed"]


def test_a_key_that_another_drop_holds_is_refused_as_by_the_gate(shop):
    held = shop.given("orders/validated", [ORDER])
    again = ORDER | {"placed_at": "2024-04-01", "settled_at": "2024-04-02"}
    assert held.verdict("orders", again, drop="2024-04").rules == [["unique(id): in drop 2024-01"]]
    assert held.verdict("orders", ORDER).passes  # the same drop delivered again


def test_a_drop_is_named_where_the_rows_do_not_tell(make_project, made_up_orders, tmp_path):
    source, *others = made_up_orders.declared(tmp_path, split=SPLIT)
    source["attributes"]["drops"] = source["attributes"]["drops"] | {"column": "placed_at"}
    shop = testing.project(make_project(source, *others).folder)
    assert shop.verdict("orders", ORDER).passes
    assert shop.verdict("orders", ORDER, drop="2024-02").rules == [["placed_at: in 2024-02"]]


def test_a_declaration_that_cannot_be_read_stops_the_tests(tmp_path):
    create_project(tmp_path / "corner_bakery")
    wrong = tmp_path / "corner_bakery/corner_bakery/defs/wrong"
    wrong.mkdir()
    (wrong / "defs.yaml").write_text("type: ml_assets.Spine\nattributes: {name: loaves}\n")
    with pytest.raises(DeclarationError, match=r"corner_bakery/defs/wrong/defs.yaml:2: .* is missing"):
        testing.project(tmp_path / "corner_bakery")


VIEWS = """
    from ml_assets import FeatureView, declare

    declare(__name__, FeatureView(name="size", description="Of price.", spine="orders", entity=["id"],
                                  request={"price_cents": "amount * 100"}))
"""


def test_declarations_made_in_python_are_read_beside_a_loaded_dagster(make_project, made_up_orders, tmp_path):
    made = make_project(*made_up_orders.declared(tmp_path, split=SPLIT))
    folder = made.folder / next(made.folder.glob("made_up_shop_*")).name / "defs/more"
    folder.mkdir()
    (folder / "views.py").write_text(dedent(VIEWS))
    for _ in range(2):
        features = testing.project(made.folder).features("size", at="2024-03-01", id=1, amount=0.5)
        assert features == {"price_cents": 50.0}
    assert {"size", "order"} <= {key.path[-1] for assets in made.definitions.assets for key in assets.keys}
    assert testing.project(made.folder).features("size", at="2024-03-01", id=1, amount=2.0) == {"price_cents": 200.0}


def test_what_only_dagster_can_read_is_read_by_it(make_project, made_up_orders, tmp_path):
    made = make_project(*made_up_orders.declared(tmp_path, split=SPLIT))
    folder = made.folder / next(made.folder.glob("made_up_shop_*")).name / "defs/more"
    folder.mkdir()
    (folder / "own.py").write_text("import dagster as dg\n\n\n@dg.asset\ndef own(): ...\n")
    assert testing.project(made.folder).features("order", at="2024-03-01", id=1, amount=3.0) == {"price": 3.0}


def test_a_text_is_read_as_the_moment_that_a_made_spine_carries(make_project, made_up_orders, tmp_path):
    source = made_up_orders.declared(tmp_path, split=SPLIT)[0]
    entities = {"table": "orders/validated", "key": ["customer"], "from": "placed_at", "columns": ["placed_at"]}
    spine = {
        "name": "weekly", "entities": entities, "every": {"cron": "0 6 * * mon", "time_zone": "UTC"},
        "drops": {"grain": "monthly", "start": "2024-01", "end": "2024-05"},
    }  # fmt: skip
    view = {
        "name": "since", "description": "Days since the last order.", "spine": "weekly", "entity": ["customer"],
        "request": {"days": "(EXTRACT(epoch FROM prediction_at) - EXTRACT(epoch FROM placed_at)) / 86400"},
    }  # fmt: skip
    shop = make_project(
        source, {"type": "ml_assets.Spine", "attributes": spine}, {"type": "ml_assets.FeatureView", "attributes": view}
    )
    days = testing.project(shop.folder).features("since", at="2024-03-04", customer="ann", placed_at="2024-03-01T12:00")
    assert days == {"days": 2.5}


def test_made_spines_and_their_horizons_are_tested_alike(make_project, made_up_orders, tmp_path):
    source = made_up_orders.declared(tmp_path, split=SPLIT)[0]
    spine = {
        "name": "weekly", "entities": {"table": "orders/validated", "key": ["customer"], "from": "placed_at"},
        "every": {"cron": "0 6 * * mon", "time_zone": "Europe/Paris"}, "horizons": ["7d", "14d"],
        "drops": {"grain": "monthly", "start": "2024-01", "end": "2024-07"},
    }  # fmt: skip
    history = HISTORY["attributes"] | {"spine": "weekly"}
    outcome = SENT_BACK["attributes"] | {"spine": "weekly", "known_at": "settled_at"}
    shop = testing.project(
        make_project(
            source,
            {"type": "ml_assets.Spine", "attributes": spine},
            {"type": "ml_assets.FeatureView", "attributes": history},
            {"type": "ml_assets.Outcome", "attributes": outcome},
        ).folder
    )
    given = shop.given("orders/validated", [ORDER])
    assert given.features("history", at="2024-03-04T05:00", customer="ann") == {"returned_count_7d": 1}
    # The order of the 1st lies in the week after 26 February, and before that after 4 March.
    for at, target_at, sent_back in (("02-26", "03-04", True), ("03-04", "03-11", False)):
        ahead = {"customer": "ann", "target_at": f"2024-{target_at}T05:00"}
        assert given.outcome("sent_back", at=f"2024-{at}T05:00", **ahead)["sent_back"] is sent_back
    with pytest.raises(ValueError, match=r"the outcome sent_back: give target_at=... too"):
        given.outcome("sent_back", at="2024-03-04T05:00", customer="ann")
