import pytest

from ml_assets.lake import Lake
from ml_assets.lake.records import add_records
from ml_assets.retraining.causes import Cause
from ml_assets.retraining.decide import Decision, decide, describe_evidence, read_decisions, record_decision
from ml_assets.retraining.evidence import Evidence
from ml_assets.retraining.spec import RetrainingSpec

KINDS = ["realised", "estimated", "calibration", "drift", "multivariate", "new_labels", "age"]
CONDITIONS = ["gate", "cooldown", "new_rows"]
VALUES = {  # observed, threshold, breaches, chunks, unit, side
    "realised": (0.6814, 0.7, 3, 4, "roc_auc", "below"),
    "estimated": (0.65, 0.7, 2, 3, "roc_auc", "below"),
    "calibration": (0.09, 0.05, 2, 3, "calibration_error", "above"),
    "drift": (0.75, 0.5, 2, 3, "share of features", "above"),
    "multivariate": (1.3, 1.1, 2, 3, "reconstruction error", "above"),
    "new_labels": (1.62, 1.5, 1, 1, "times those at the last training", "above"),
    "age": (200.0, 180.0, 1, 1, "days", "above"),
    "gate": (1.0, 0.0, 1, 1, "failed tables", "above"),
    "cooldown": (9.0, 21.0, 1, 1, "days", "below"),
    "new_rows": (1200.0, 5000.0, 1, 1, "rows", "below"),
}
TOLD_COOLDOWN = "9 days since the last training or roll-back, the cooldown is 21"
TOLD_AGE = "the champion's cut-off is 200 days old, the limit is 180"


def evidence(*breached: str, without: str = "") -> list[Evidence]:
    return [
        Evidence(
            kind=kind, observed=observed, threshold=threshold, breached=kind in breached, breaches=breaches,
            chunks=chunks, unit=unit, side=side, source=f"source of {kind}",
        )
        for kind, (observed, threshold, breaches, chunks, unit, side) in VALUES.items()
        if kind != without
    ]  # fmt: skip


def policy(*counted: str) -> RetrainingSpec:
    return RetrainingSpec(evidence=list(counted))


@pytest.mark.parametrize(
    ("counted", "breached", "retrain", "rule"),
    [
        (KINDS, [], False, "nothing_breached"),
        ([], KINDS, False, "nothing_breached"),
        (["realised"], ["drift", "age"], False, "nothing_breached"),
        (["realised"], ["realised"], True, "realised"),
        (["age", "realised"], ["realised", "age"], True, "age"),
        (["realised", "age"], ["realised", "age"], True, "realised"),
        (["drift", "realised", "age"], ["age", "realised"], True, "realised"),
        (KINDS, [*KINDS, *CONDITIONS], False, "gate"),
        (KINDS, ["gate"], False, "gate"),
        ([], ["gate"], False, "gate"),
        (KINDS, ["realised", "gate"], False, "gate"),
        (KINDS, ["realised", "cooldown", "new_rows"], False, "cooldown"),
        (KINDS, ["realised", "cooldown"], False, "cooldown"),
        (KINDS, ["realised", "new_rows"], False, "new_rows"),
        (KINDS, ["cooldown", "new_rows"], False, "nothing_breached"),
        *[([kind], [kind], True, kind) for kind in KINDS],
    ],
)
def test_rules_in_order(counted, breached, retrain, rule):
    decision = decide(evidence(*breached), policy(*counted))
    assert (decision.retrain, decision.rule) == (retrain, rule)
    assert decision.reason.startswith("retrain: " if retrain else "wait: ")


def test_the_order_of_the_evidence_does_not_matter():
    found = evidence("realised", "age")
    assert decide(found[::-1], policy("age", "realised")) == decide(found, policy("age", "realised"))


@pytest.mark.parametrize("lacking", [*CONDITIONS, "realised"])
def test_missing_evidence_is_an_error_not_a_decision(lacking):
    with pytest.raises(ValueError, match=f"evidence lacks {lacking}: gather it"):
        decide(evidence("age", without=lacking), policy("age", "realised"))


def test_a_kind_that_is_not_counted_may_be_missing():
    assert decide(evidence("age", without="drift"), policy("age")).retrain


def test_reason_of_a_retraining_tells_every_counted_breach():
    decision = decide(evidence("realised", "calibration", "drift"), policy("realised", "calibration"))
    assert decision.reason == (
        "retrain: realised roc_auc 0.681 under the limit 0.7 in 3 of the last 4 chunks; "
        "calibration calibration_error 0.09 over the limit 0.05 in 2 of the last 3 chunks"
    )


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("drift", "drift share of features 0.75 over the limit 0.5 in 2 of the last 3 chunks"),
        ("new_labels", "labelled rows are 1.62 times those at the last training, the limit is 1.5"),
        ("age", TOLD_AGE),
        ("cooldown", TOLD_COOLDOWN),
        ("new_rows", "1,200 rows labelled since the last training, 5,000 are needed"),
    ],
)
def test_a_breach_in_words(kind, told):
    assert describe_evidence(next(item for item in evidence() if item.kind == kind)) == told


def test_reasons_to_wait_tell_the_condition_and_what_it_holds_back():
    held = decide(evidence("age", "cooldown"), policy("age")).reason
    assert held == f"wait: {TOLD_COOLDOWN}; there would be cause: {TOLD_AGE}"
    assert decide(evidence("age", "gate"), policy("age")).reason == "wait: the drop failed its gate (source of gate)"
    assert decide(evidence(), policy("age", "drift")).reason == "wait: no evidence is breached (counted: age, drift)"
    assert decide(evidence(), policy()).reason == "wait: no evidence is breached (counted: none)"
    unmeasured = [item.model_copy(update={"chunks": 0}) if item.kind == "drift" else item for item in evidence()]
    assert decide(unmeasured, policy("age", "drift")).reason == (
        "wait: no evidence is breached (counted: age, drift; not measured, for want of rows or labels: drift)"
    )


CAUSES = [
    Cause(feature=name, psi=psi, contribution=0.2, weight=0.2 * psi)
    for name, psi in [("size", 0.913), ("colour", 0.5), ("age", 0.4), ("width", 0.3)]
]


def record(found=None, causes=CAUSES, **about):
    found = evidence("realised") if found is None else found
    told = {"model": "m", "drop": "2021-05", "as_of": "2021-06-01T00:00:00+00:00", "champion": "3", **about}
    return record_decision(decide(found, policy("realised")), **told, evidence=found, causes=causes)


def test_a_record_holds_everything_the_decision_rests_on():
    found = evidence("realised")
    made = record(found)
    assert (made.model, made.drop, made.champion, made.as_of) == ("m", "2021-05", "3", "2021-06-01T00:00:00+00:00")
    assert (made.retrain, made.rule) == (True, "realised")
    assert made.evidence == tuple(found)
    assert made.causes == tuple(CAUSES)
    assert made.reason.endswith("cause candidates: size (PSI 0.91), colour (PSI 0.50), age (PSI 0.40)")
    assert type(made).model_validate_json(made.model_dump_json()) == made


def test_only_a_retraining_names_causes():
    assert "cause candidates" not in record(causes=[]).reason
    assert "cause candidates" not in record(evidence()).reason


def test_equal_evidence_about_the_same_champion_and_drop_has_the_same_id():
    assert record().id == record(evidence("realised")).id
    assert len(record().id) == 16


def test_anything_else_has_another_id():
    moved = [item.model_copy(update={"observed": 0.68}) if item.kind == "realised" else item for item in evidence()]
    others = [
        record(drop="2021-06"),
        record(champion="4"),
        record(model="n"),
        record(as_of="2021-07-01T00:00:00+00:00"),
        record(evidence()),
        record(moved),
    ]
    assert len({record().id, *(other.id for other in others)}) == 7


def test_decisions_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Decision(retrain=True, rule="age", reason="").retrain = False


def decided(drop, *, retrain, reason):
    decision = Decision(retrain=retrain, rule="psi", reason=reason)
    as_of = f"{drop}-28T00:00:00+00:00"
    return record_decision(decision, model="m", drop=drop, as_of=as_of, champion="1", evidence=(), causes=())


def test_the_last_decision_on_a_drop_holds_and_the_others_are_kept(tmp_path):
    lake = Lake(str(tmp_path))
    wait, retrain = decided("2024-02", retrain=False, reason="calm"), decided("2024-02", retrain=True, reason="drift")
    before = decided("2024-01", retrain=False, reason="calm")
    assert read_decisions(lake, "m") == []
    for one in (wait, retrain, before):
        add_records(lake, "m/retrain_decision", [one], [{"month": one.drop}], "month")
    assert read_decisions(lake, "m") == [before, retrain]
    add_records(lake, "m/retrain_decision", [wait], [{"month": wait.drop}], "month")
    assert read_decisions(lake, "m") == [before, wait]
    assert lake.scan("m/retrain_decision").collect().height == 4
