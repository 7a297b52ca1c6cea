"""What rules make of what they see: alerts that open, worsen, are repeated and end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_assets.alerts.evidence import AlertObservation
from ml_assets.alerts.judge import ObservedRule, judge
from ml_assets.alerts.records import alerts_by
from ml_assets.alerts.spec import AlertRule, check_rules

T0, DAY = datetime(2024, 3, 1, tzinfo=UTC), timedelta(days=1)


def rule(**changes):
    return AlertRule.model_validate({"name": "drifted", "evidence": "drift", "above": 0.2, **changes})


def seen(rule, *values, limit=None, beyond=None, owners=("team:shop",)):
    observations = [
        AlertObservation(T0 + day * DAY, value, f"day {day}", limit, beyond) for day, value in enumerate(values)
    ]
    return ObservedRule("model", "returns", rule, owners, observations)


def live(rule, *looks, every=DAY):
    """Judge one look after another; returns the kinds of events, and the alerts."""
    events, kinds = [], []
    for number, values in enumerate(looks):
        judged = judge([seen(rule, *values)], alerts_by(events), T0 + number * every)
        events += judged.events
        kinds.append("".join(event.kind for event in judged.events))
    return kinds, alerts_by(events)


def test_an_alert_opens_once_and_ends_when_its_value_is_calm():
    kinds, (alert,) = live(rule(), [0.1], [0.1, 0.3], [0.1, 0.3], [0.3, 0.1])
    assert kinds == ["", "opened", "", "resolved"]
    assert (alert.limit, alert.owners, alert.severity) == (0.2, ("team:shop",), "warning")
    assert (alert.state, alert.opened_at, alert.changed_at) == ("resolved", T0 + DAY, T0 + 3 * DAY)


def test_it_is_news_again_where_it_is_much_farther_beyond_its_limit():
    # Beyond by 0.1; half as much again is 0.15.
    kinds, (alert,) = live(rule(), [0.3], [0.34], [0.36], [0.40], [0.45])
    assert kinds == ["opened", "", "worsened", "", "worsened"]
    assert alert.value == 0.45


def test_below_counts_downwards():
    kinds, _ = live(rule(evidence="estimated_performance", above=None, below=0.7), [0.69], [0.68], [0.72])
    assert kinds == ["opened", "worsened", "resolved"]


def test_it_is_repeated_after_its_time_unless_somebody_took_it_up():
    kinds, alerts = live(rule(again_after="3d"), *[[0.3]] * 8)
    assert kinds == ["opened", "", "", "reminded", "", "", "reminded", ""]
    taken = alerts[0].model_copy(update={"state": "acknowledged"})
    assert judge([seen(rule(again_after="3d"), 0.3)], [taken], T0 + 99 * DAY).events == []
    assert [each.kind for each in judge([seen(rule(), 0.9)], [taken], T0 + 99 * DAY).events] == ["worsened"]


def test_so_many_of_the_last_must_be_beyond_the_latest_among_them():
    two_of_three = rule(breaches=2, of_last=3)
    looks = [[0.3], [0.3, 0.1], [0.3, 0.1, 0.3], [0.1, 0.3, 0.1], [0.3, 0.3, 0.1]]
    assert [live(two_of_three, values)[0] for values in looks] == [[""], [""], ["opened"], [""], [""]]


def test_it_ends_only_after_so_many_calm_ones():
    kinds, _ = live(rule(calm=2), [0.3], [0.3, 0.1], [0.3, 0.1, 0.1])
    assert kinds == ["opened", "", "resolved"]


def test_what_is_not_known_changes_nothing_and_is_said():
    kinds, (alert,) = live(rule(), [0.3], [0.3, None], [None])
    assert (kinds, alert.state) == (["opened", "", ""], "open")
    judged = judge([seen(rule(), None), ObservedRule("source", "orders", rule(), why_not="no table")], [], T0)
    assert judged.unknown == {
        ("model", "returns", "drifted"): "no value is known", ("source", "orders", "drifted"): "no table",
    }  # fmt: skip


def test_evidence_may_bring_its_own_limit():
    own = rule(above=None)
    judged = judge([seen(own, 0.25, limit=0.2, beyond=True)], [], T0)
    assert [(event.kind, event.limit) for event in judged.events] == [("opened", 0.2)]
    assert judge([seen(own, 0.25, limit=0.3, beyond=False)], [], T0).events == []


def test_the_alert_of_a_rule_that_is_gone_ends():
    _, alerts = live(rule(), [0.3])
    (event,) = judge([], alerts, T0 + DAY).events
    assert (event.kind, event.because) == ("resolved", "the rule is not declared any more")


def test_another_subject_has_its_own_alert():
    other = ObservedRule("model", "churn", rule(), (), [AlertObservation(T0, 0.5, "")])
    events = judge([seen(rule(), 0.5), other], [], T0).events
    assert len({event.alert for event in events}) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=25),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 3),
)
def test_there_is_never_more_than_one_open_alert_and_a_breach_is_never_missed(values, breaches, more, calm):
    declared, events = rule(breaches=breaches, of_last=breaches + more, calm=calm), []
    for number in range(1, len(values) + 1):
        judged = judge([seen(declared, *values[:number])], alerts_by(events), T0 + number * DAY)
        events += judged.events
        open_now = [alert for alert in alerts_by(events) if alert.state != "resolved"]
        known = [value for value in values[:number] if value is not None]
        latest = known[-declared.of_last :]
        fires = bool(latest) and latest[-1] > 0.2 and sum(value > 0.2 for value in latest) >= breaches
        assert len(open_now) <= 1
        if fires:
            assert open_now
        if len(known) >= calm and all(value <= 0.2 for value in known[-calm:]):
            assert not open_now


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Too loud"}, "lower case letters"),
        ({"evidence": "mood"}, "evidence: 'mood' is none of drift,"),
        ({"below": 0.1}, "above: is given beside `below`"),
        ({"breaches": 2}, "breaches: 2 of the last 1 observations can never happen"),
        ({"again_after": "soon"}, "again_after"),
        ({"calm": 0}, "calm: 0 is less than 1"),
        ({"severity": "deadly"}, "severity"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        rule(**changes)


@pytest.mark.parametrize(
    ("about", "rules", "message"),
    [
        ("model", [{}, {}], "two rules are called drifted"),
        ("source", [{}], "there is no drift of a source; choose from quarantine_share, missing_share"),
        ("model", [{"evidence": "freshness", "above": None}], "declare `above` or `below`, in hours"),
        ("source", [{"evidence": "late_delivery", "of_last": 3}], "late_delivery is one value, as of now"),
    ],
)
def test_rules_fit_what_they_are_declared_on(about, rules, message):
    with pytest.raises(ValueError, match=message):
        check_rules(about, [rule(**changes) for changes in rules])
