"""What rules see in the tables of models and sources."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from ml_assets.alerts.evidence import ALERT_EVIDENCE
from ml_assets.alerts.spec import AlertRule
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.specs import DeclaredModel, DeclaredSource
from ml_assets.lake import Lake
from ml_assets.modelling.performance.groups import BY_DROP
from ml_assets.observations.observe import observe_project
from ml_assets.registry.decisions import Decisions
from ml_assets.training.promotion.records import PromotionDecision
from ml_assets_tests.modelling.test_modelling_fairness import SPINE, VIEW, context, private_regions

APRIL, MAY = datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
MARCH_END = APRIL
DROPS = ["2024-02", "2024-03"]


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path))


def source(**changes):
    return DeclaredSource.model_validate(
        {
            "name": "orders",
            "description": "Orders.",
            "where": {"path": "orders/{partition}.csv"},
            "drops": {"grain": "monthly", "start": "2024-01"},
            "contract": "shop.contracts:Orders",
            "key_columns": ["id"],
            "required": ["price", "size"],
            "max_bad_share": 0.1,
            **changes,
        }
    )


def rule(evidence, **changes):
    return AlertRule.model_validate({"name": "r", "evidence": evidence, **changes})


def of_source(lake, evidence, as_of=MAY, declared=None, **changes):
    seen = ALERT_EVIDENCE.get(evidence).of_source(lake, declared or source(), rule(evidence, **changes), as_of)
    return [(each.at, each.value, each.beyond) for each in seen], [each.text for each in seen]


def of_model(lake, evidence, as_of=MAY, model=None, **changes):
    seen = ALERT_EVIDENCE.get(evidence).of_model(lake, model or context(), rule(evidence, **changes), as_of)
    return [(each.at, each.value, each.limit, each.beyond) for each in seen], [each.text for each in seen]


def store(lake, key, rows_by_drop, **columns):
    for drop, rows in rows_by_drop.items():
        frame = pl.DataFrame({"id": range(rows), "_drop": [drop] * rows, **{n: v[:rows] for n, v in columns.items()}})
        lake.replace(key, frame, {"_drop": [drop]})


def test_the_share_in_quarantine_is_counted_by_drop(lake):
    store(lake, "orders/validated", {"2024-01": 10, "2024-02": 6, "2024-03": 9})
    store(lake, "orders/quarantine", {"2024-02": 2, "2024-03": 1})
    seen, texts = of_source(lake, "quarantine_share")
    assert seen == [
        (datetime(2024, 2, 1, tzinfo=UTC), 0.0, False),
        (datetime(2024, 3, 1, tzinfo=UTC), 0.25, True),
        (MARCH_END, 0.1, False),
    ]
    assert texts[1] == "2 of 8 rows of 2024-02 are in quarantine"
    # A drop that had not ended by the moment is not there yet.
    assert len(of_source(lake, "quarantine_share", as_of=MARCH_END - timedelta(days=1))[0]) == 2


def test_the_worst_required_column_is_named(lake):
    store(lake, "orders/raw", {"2024-03": 4}, price=[1, None, 3, 4], size=[None, None, 1, None])
    seen, texts = of_source(lake, "missing_share")
    assert (seen, texts) == ([(MARCH_END, 0.75, True)], ["size misses 75.00% of the values of 2024-03"])
    assert of_source(lake, "missing_share", declared=source(required=["price", "colour"]))[0][0][1] == 1.0
    with pytest.raises(ValueError, match="names no `required` columns"):
        of_source(lake, "missing_share", declared=source(required=[]))


def test_a_drop_that_has_ended_and_not_come_is_late(lake):
    store(lake, "orders/raw", {"2024-01": 1, "2024-03": 1})
    as_of = APRIL + timedelta(hours=5)
    seen, texts = of_source(lake, "late_delivery", as_of, above=0)
    february = (as_of - datetime(2024, 3, 1, tzinfo=UTC)).total_seconds() / 3600
    assert (seen, texts) == ([(as_of, february, None)], ["not delivered: 2024-02"])
    lake.replace("orders/came_empty", pl.DataFrame({"_drop": ["2024-02"], "rows": [0]}), {"_drop": ["2024-02"]})
    assert of_source(lake, "late_delivery", as_of, above=0)[0] == [(as_of, 0.0, None)]
    # One that is expected no more is not late either.
    ended = source(drops={"grain": "monthly", "start": "2024-01", "end": "2024-04"})
    assert of_source(lake, "late_delivery", datetime(2025, 1, 1, tzinfo=UTC), ended, above=0)[0][0][1] == 0.0


def test_how_old_the_newest_drop_is(lake):
    assert of_source(lake, "freshness", above=1)[0] == []
    store(lake, "orders/validated", {"2024-02": 1, "2024-03": 1})
    assert of_source(lake, "freshness", APRIL + timedelta(hours=7), above=1)[0][0][1] == 7.0


def test_a_drop_that_is_withheld_failed_its_gate(lake):
    store(lake, "orders/raw", {"2024-02": 1, "2024-03": 1})
    withheld = {"_drop": ["2024-03"], "failed": [["contract"]], "waits_for": [[]], "in_use": [False]}
    texts = pl.List(pl.String)
    frame = pl.DataFrame(withheld, schema_overrides={"failed": texts, "waits_for": texts})
    lake.replace("orders/withheld", frame, {"_drop": ["2024-03"]})
    seen, texts = of_source(lake, "failed_gate")
    assert [each[1:] for each in seen] == [(0.0, False), (1.0, True)]
    assert texts[1] == "2024-03 is withheld: contract"


def drift_rows():
    rows = [
        ("2024-02", "price", "psi", "period", 0.05), ("2024-02", "size", "psi", "period", 0.10),
        ("2024-03", "price", "psi", "period", 0.31), ("2024-03", "size", "psi", "period", 0.02),
        ("2024-03", "price", "wasserstein", "chunk", 4.0), ("2024-03", "size", "wasserstein", "chunk", 9.0),
        ("2024-03", "size", "few", "chunk", 9.0),
    ]  # fmt: skip
    columns = ["_drop", "feature", "method", "scope", "value"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        threshold=pl.lit(0.2),
        alert=pl.col("value") > 0.2,
        rows=pl.when(pl.col("method") == "few").then(499).otherwise(500),
        chunk_end=pl.lit(datetime(2024, 3, 8)).cast(pl.Datetime("us")),
    )


def test_the_strongest_drift_of_a_drop_counts(lake):
    lake.replace("fraud/drift_report", drift_rows(), {"_drop": DROPS})
    seen, texts = of_model(lake, "drift")
    assert seen == [(datetime(2024, 3, 1, tzinfo=UTC), 0.10, 0.2, False), (MARCH_END, 0.31, 0.2, True)]
    assert texts[1] == "psi of the features: price 0.31, size 0.02"
    # What is measured by chunk alone is seen by chunk.
    assert of_model(lake, "drift", metric="wasserstein")[0] == [(datetime(2024, 3, 8, tzinfo=UTC), 9.0, 0.2, True)]
    # Of a chunk of fewer rows than count, nothing is seen.
    assert of_model(lake, "drift", metric="few")[0] == []


def test_the_newest_measure_of_a_metric_counts_that_was_there_at_the_moment(lake):
    rows = [
        ("2024-03", "realised", "roc_auc", 0.80, MARCH_END), ("2024-03", "realised", "roc_auc", 0.65, MAY),
        ("2024-03", "estimated", "roc_auc", 0.78, MARCH_END), ("2024-03", "realised", "f1", 0.5, MAY),
    ]  # fmt: skip
    columns = ["_drop", "kind", "metric", "value", "measured_at"]
    report = pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        scope=pl.lit("period"), threshold=pl.lit(0.7), alert=pl.col("value") < 0.7, rows=pl.lit(9), missing=pl.lit(0),
        chunk_start=pl.lit(datetime(2024, 3, 1)), chunk_end=pl.lit(datetime(2024, 4, 1)),
    )  # fmt: skip
    lake.replace("fraud/performance_report", report, {"_drop": ["2024-03"]})
    assert of_model(lake, "realised_performance")[0] == [(MARCH_END, 0.65, 0.7, True)]
    assert of_model(lake, "realised_performance", as_of=APRIL + timedelta(days=1))[0] == [(MARCH_END, 0.8, 0.7, False)]
    assert of_model(lake, "estimated_performance")[0][0][1] == 0.78
    assert of_model(lake, "realised_performance", metric="f1")[0][0][1] == 0.5


def test_limits_between_groups_are_seen_by_drop(lake):
    rates = [("north", 0.5), ("south", 0.1)]
    rows = [("region", group, "", "selection_rate", rate, 50, 40, True, "2024-03") for group, rate in rates]
    names = ["attribute", "group", "class", "measure", "value", "rows", "known", "judged", "_drop"]
    lake.replace(f"fraud/{BY_DROP}", pl.DataFrame(rows, schema=names, orient="row"), {"_drop": ["2024-03"]})
    (seen, texts) = of_model(lake, "fairness")
    assert seen == [(MARCH_END, 1.0, 0.0, True)]
    assert "selection_ratio by region: 0.2, at least 0.8 allowed, farthest out south" in texts[0]
    assert of_model(lake, "fairness", metric="selection_ratio")[0] == [(MARCH_END, pytest.approx(0.2), 0.8, True)]
    own = of_model(lake, "fairness", metric="selection_difference", above=0.3)[0]
    assert own == [(MARCH_END, pytest.approx(0.4), 0.3, True)]
    hidden = private_regions(context())
    assert "farthest out (private 2)" in of_model(lake, "fairness", model=hidden)[1][0]
    assert "farthest out (private 2)" in of_model(lake, "fairness", model=hidden, metric="selection_ratio")[1][0]
    with pytest.raises(ValueError, match="'kindness' is no limit of fairness"):
        of_model(lake, "fairness", metric="kindness")


def decided(lake, *decisions):
    keeping = SimpleNamespace(champion=lambda _: None, settled=lambda _: "", run_of=lambda *_: "r")
    for challenger, promote, at in decisions:
        made = PromotionDecision(
            model="fraud", challenger=challenger, champion=None, promote=promote, rule="floors", reason="it is so",
            evidence=(),
        )  # fmt: skip
        decisions = Decisions(lake, keeping, "fraud")
        decisions.settle = lambda: None
        decisions.add(made, run_id="r", as_of=(at - timedelta(hours=48)).isoformat(), decided_at=at)


def test_a_challenger_that_is_refused_failed_its_gate_and_the_champion_ages(lake):
    decided(lake, ("1", True, APRIL), ("2", False, APRIL + timedelta(days=2)))
    assert [each[1] for each in of_model(lake, "failed_gate")[0]] == [0.0, 1.0]
    assert [each[1] for each in of_model(lake, "failed_gate", as_of=APRIL)[0]] == [0.0]
    (seen, texts) = of_model(lake, "freshness", as_of=APRIL + timedelta(hours=1), above=1)
    assert (seen[0][1], texts[0][:9]) == (49.0, "version 1")


def test_what_cannot_be_seen_says_why(lake):
    ruled = source(alerts=[rule("missing_share").model_dump(), rule("late_delivery", name="s", above=1).model_dump()])
    ruled = ruled.model_copy(update={"required": []})
    fields = context().spec.model_dump(exclude={"spine"}) | {"spine": "payments", "owners": ["team:shop"]}
    model = DeclaredModel.model_validate(fields | {"alerts": [rule("drift").model_dump()]})
    project = DeclaredProject([("shop", each) for each in (SPINE, VIEW, model, ruled)])
    drift, missing, late = observe_project(lake, project, MAY)
    assert (drift.subject, drift.owners, drift.why_not) == ("fraud", ["team:shop"], "nothing was measured yet")
    assert missing.why_not == "source orders names no `required` columns, whose missing values are counted"
    assert late.observations[0].value > 0


@pytest.mark.parametrize("name", ALERT_EVIDENCE.names())
def test_every_kind_of_evidence_says_what_it_is_about_and_its_unit(name):
    evidence = ALERT_EVIDENCE.get(name)
    assert set(evidence.about) <= {"model", "source"}
    assert evidence.about
    assert evidence.unit
