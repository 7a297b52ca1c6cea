"""The list of models: what it says is what the lake holds, and who needs attention most comes first."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.alerts.records import Alert
from ml_assets.console.pages.fleet.attention import STATES, drops_late, reasons_for
from ml_assets.console.pages.fleet.facts import Champion, DropMeasure, ModelFacts, read_facts
from ml_assets.console.pages.fleet.read import ModelFilters, read_fleet
from ml_assets.declarations.specs import DeclaredModel
from ml_assets.lake import Lake
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.retraining.evidence import Evidence
from ml_assets.sources.drops.spec import Drops

from .conftest import HOSTILE, open_stores_over
from .fleet import FLOOR, KINDS, LATE, SPINE, make_fleet, realised

DAILY = Drops(grain="daily", start="2024-01-01")
NOON = datetime(2024, 1, 11, 12, tzinfo=UTC)
SERVES = Champion("1", None, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    lake = Lake(str(tmp_path_factory.mktemp("fleet")))
    return lake, make_fleet(lake)


@pytest.fixture(scope="module")
def stores(made):
    lake, fleet = made
    return open_stores_over(lake, *fleet.declared, now=fleet.now)


def evidence(kind, breached=True, **more):
    given = {
        "observed": 0.6, "threshold": 0.65, "breaches": 3, "chunks": 3, "unit": "roc_auc", "side": "below",
        "source": "x",
    }  # fmt: skip
    return Evidence(kind=kind, breached=breached, **(given | more))


def decision(*found, drop="2024-01-10"):
    return DecisionRecord(
        id="d", model="m", drop=drop, as_of="2024-01-11T00:00:00+00:00", champion="1", retrain=False, rule="x",
        reason="x", evidence=found, causes=(),
    )  # fmt: skip


def alert(**more):
    given = {
        "id": "a", "about": "model", "subject": "m", "rule": "r", "evidence": "rows", "severity": "warning",
        "owners": (), "channels": (), "state": "open", "opened_at": NOON, "changed_at": NOON, "noticed_at": NOON,
        "value": 1.0, "limit": 2.0, "text": "few rows",
    }  # fmt: skip
    return Alert(**(given | more))


WELL = ModelFacts(
    champion=SERVES, last_drop="2024-01-10", realised=[DropMeasure("2024-01-10", 0.8)],
    decision=decision(evidence("gate", False)),
)  # fmt: skip


def states_of(facts, alerts=(), now=NOON, drops=DAILY):
    return [reason.state for reason in reasons_for(facts, alerts, drops, "roc_auc", now)]


def changed(**more):
    return ModelFacts(**{name: getattr(WELL, name) for name in WELL.__dataclass_fields__} | more)


def test_the_states_are_in_the_order_of_attention_that_is_documented():
    order = ["gate", "alert", "performance", "drift", "late", "approval", "unmeasured", "old", "none", "well"]
    assert list(STATES) == order


@pytest.mark.parametrize(
    ("facts", "alerts", "state"),
    [
        (WELL, [], "well"),
        (changed(decision=decision(evidence("gate"))), [], "gate"),
        (WELL, [alert()], "alert"),
        (WELL, [alert(state="acknowledged", acknowledged_by="ann")], "alert"),
        (WELL, [alert(severity="info")], "well"),
        (changed(decision=decision(evidence("realised"))), [], "performance"),
        (changed(decision=decision(evidence("calibration"))), [], "performance"),
        (changed(realised=[DropMeasure("2024-01-10", 0.6, alert=True)]), [], "performance"),
        (changed(realised=[DropMeasure("2024-01-09", 0.6, alert=True), DropMeasure("2024-01-10", 0.8)]), [], "well"),
        (changed(decision=decision(evidence("drift"))), [], "drift"),
        (changed(decision=decision(evidence("multivariate"))), [], "drift"),
        (changed(decision=decision(evidence("cooldown"), evidence("new_rows"), evidence("new_labels"))), [], "well"),
        (changed(waiting="2"), [], "approval"),
        (changed(realised=[]), [], "unmeasured"),
        (changed(realised=[DropMeasure("2024-01-10", None)]), [], "unmeasured"),
        (changed(realised=[], estimated=[DropMeasure("2024-01-10", 0.8)]), [], "well"),
        (changed(decision=decision(evidence("age"))), [], "old"),
        (ModelFacts(), [], "none"),
    ],
)
def test_what_calls_for_attention(facts, alerts, state):
    assert states_of(facts, alerts) == [state]


def test_of_several_reasons_the_gravest_comes_first():
    facts = changed(decision=decision(evidence("age"), evidence("drift"), evidence("realised"), evidence("gate")))
    assert states_of(facts, [alert()]) == ["gate", "alert", "performance", "drift", "old"]


@pytest.mark.parametrize(
    ("now", "late"),
    [
        (datetime(2024, 1, 11, tzinfo=UTC), 0),
        (datetime(2024, 1, 11, 23, 59, tzinfo=UTC), 0),
        (datetime(2024, 1, 12, tzinfo=UTC), 1),
        (datetime(2024, 1, 13, tzinfo=UTC), 2),
    ],
)
def test_a_drop_is_late_once_it_has_ended(now, late):
    assert drops_late("2024-01-10", DAILY, now) == late
    assert states_of(WELL, now=now) == (["late"] if late >= 2 else ["well"])


def test_rows_that_are_not_cut_are_never_late():
    assert drops_late("whole", Drops(grain="whole"), NOON) == 0


def test_each_model_of_a_fleet_is_in_what_it_was_made_to_be_in_and_the_worst_come_first(stores, made):
    fleet = read_fleet(stores)
    assert {row.model: row.state.name for row in fleet.rows} == made[1].kinds
    ranks = [list(STATES).index(row.state.name) for row in fleet.rows]
    assert ranks == sorted(ranks)
    assert fleet.counts == {kind: 2 for kind in STATES if kind in KINDS}
    assert fleet.total == 16


def test_the_numbers_are_those_of_the_lake(made):
    lake, fleet = made
    for model, kind in list(fleet.kinds.items())[: len(KINDS)]:
        facts = read_facts(lake, model, "_drop", "roc_auc")
        if kind == "none":
            assert facts == ModelFacts()
            continue
        drops = fleet.drops[:-LATE] if kind == "late" else fleet.drops
        assert [each.value for each in facts.realised] == pytest.approx(realised(kind, len(drops)))
        assert [each.drop for each in facts.estimated] == drops
        assert facts.realised[-1].known == 0.95
        assert facts.estimated[-1].known is None
        drift = lake.scan(f"{model}/drift_report").filter(_drop=drops[-1]).collect().sort("value").row(-1, named=True)
        assert (facts.drift[-1].feature, facts.drift[-1].value) == (drift["feature"], drift["value"])
        assert (facts.requests.rows, facts.requests.median_ms) == (700, 50.5)
        assert facts.champion.version == "2"
        assert facts.champion.cut_off == datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=len(drops) // 2)
        assert facts.decision.drop == drops[-1]


def test_of_a_drop_that_was_decided_upon_twice_the_last_decision_holds(lake):
    first, second = decision(evidence("gate")), decision(evidence("gate", False))
    frame = pl.DataFrame(
        {"_number": [2, 1], "_drop": ["2024-01-10"] * 2, "record": [r.model_dump_json() for r in (second, first)]}
    )
    lake.replace("m/retrain_decision", frame, {"_drop": ["2024-01-10"]})
    assert read_facts(lake, "m", "_drop", "roc_auc").decision == second


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (ModelFilters(), 16), (ModelFilters(owner="team:1"), 4), (ModelFilters(tag="area"), 16),
        (ModelFilters(tag="area=shop"), 8),
        (ModelFilters(tag="area="), 0), (ModelFilters(state="drift"), 2), (ModelFilters(text="MODEL_00"), 10),
        (ModelFilters(text="basket"), 0), (ModelFilters(text="half of the rows"), 2),
        (ModelFilters(state="gate", owner="team:1"), 2),
        (ModelFilters(owner="nobody"), 0),
    ],
)  # fmt: skip
def test_filters(stores, filters, count):
    fleet = read_fleet(stores, filters)
    assert (len(fleet.rows), fleet.total) == (count, 16)


def test_the_page_says_what_was_read_and_keeps_its_filters(console, made):
    lake, fleet = made
    client = console(*fleet.declared, over=lake, now=fleet.now)
    page = client.get("/?state=performance").text
    assert page.count("<tr>") == 3
    assert f"{realised('performance', 12)[-1]:.3f}" in page
    assert f"below the limit {FLOOR}" in page or "under the limit" in page
    assert '<option value="performance" selected>' in page
    row = client.get("/?state=performance&format=json").json()["fleet"]["rows"][0]
    assert row["facts"]["realised"][-1]["value"] == pytest.approx(realised("performance", 12)[-1])
    assert "No model fits" in client.get("/?text=zzz").text


def test_a_fleet_is_read_again_only_where_a_table_has_changed(stores, monkeypatch):
    from ml_assets.console.pages.fleet import read

    read_fleet(stores)
    monkeypatch.setattr(read, "read_facts", lambda *_: pytest.fail("read again"))
    read_fleet(stores)


def test_names_from_data_are_text(console, made):
    lake, _ = made
    model = DeclaredModel.model_construct(
        **made[1].declared[1].__dict__
        | {"name": HOSTILE, "owners": [HOSTILE], "tags": {HOSTILE: HOSTILE}, "description": HOSTILE}
    )
    page = console(SPINE, model, over=lake).get("/", params={"text": "script"})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert page.text.count("&lt;script&gt;alert") >= 3


def test_a_model_whose_spine_is_not_declared_is_named_with_the_reason(console, made):
    page = console(made[1].declared[1], over=made[0]).get("/").text
    assert "model_000: its spine orders is not declared" in page


def test_without_models_the_page_says_how_to_begin(console):
    assert "No model is declared" in console().get("/").text
