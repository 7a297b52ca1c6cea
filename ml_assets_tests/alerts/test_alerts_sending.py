"""News of alerts on their way to channels: each once, none lost, none while it is silent."""

from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.alerts.evidence import AlertObservation
from ml_assets.alerts.judge import ObservedRule
from ml_assets.alerts.look import look_at_rules
from ml_assets.alerts.spec import AlertRule
from ml_assets.alerts.store import acknowledge, open_alerts, read_events, silence
from ml_assets.lake import Lake

T0, DAY = datetime(2024, 3, 1, tzinfo=UTC), timedelta(days=1)


class Receiver:
    """A channel that keeps what it was sent, while it is up."""

    def __init__(self, name):
        self.name, self.up, self.taken = name, True, []

    def send(self, notice):
        if not self.up:
            raise OSError("https://hooks.example/secret-token")
        self.taken.append((notice.alert.state, notice.subject))


class Life:
    """Looks day after day at one rule, whose value is given."""

    def __init__(self, folder, **changes):
        self.lake, self.day = Lake(str(folder)), -1
        self.slack, self.pagerduty = Receiver("slack"), Receiver("pagerduty")
        self.rule = AlertRule.model_validate({"name": "late", "evidence": "drift", "above": 1, **changes})

    @property
    def now(self):
        return T0 + self.day * DAY

    def look(self, value, *more):
        self.day += 1
        subjects = {"orders": value, **dict(zip("abc", more, strict=False))}
        observed = [
            ObservedRule(
                "source", name, self.rule, ("team:shop",), [AlertObservation(self.now, each, "first of March")]
            )
            for name, each in subjects.items()
        ]
        return look_at_rules(self.lake, observed, [self.slack, self.pagerduty], self.now)

    @property
    def alert(self):
        return open_alerts(self.lake)[0].id


@pytest.fixture
def life(tmp_path):
    return Life(tmp_path)


BEGAN, WORSE, OVER = (
    ("open", "orders: late began"),
    ("open", "orders: late got worse"),
    ("resolved", "orders: late is over"),
)


def test_every_channel_is_sent_beginning_and_end_once(life):
    for value in (5, 5, 0, 0):
        life.look(value)
    assert life.slack.taken == life.pagerduty.taken == [BEGAN, OVER]


def test_a_channel_that_is_down_is_sent_the_newest_once_it_is_up_and_others_do_not_wait(life):
    life.pagerduty.up = False
    life.look(5)
    life.look(50)
    assert life.slack.taken == [BEGAN, WORSE]
    life.pagerduty.up = True
    life.look(50)
    assert life.pagerduty.taken == [WORSE]
    life.look(0)
    assert life.pagerduty.taken == [WORSE, OVER]
    assert len(life.slack.taken) == 3


def test_a_failure_is_recorded_once_and_without_secrets(life):
    life.pagerduty.up = False
    for _ in range(4):
        life.look(5)
    failures = [event for event in read_events(life.lake) if event.kind == "not_sent"]
    assert [(event.channel, event.because) for event in failures] == [("pagerduty", "OSError")]


def test_an_alert_that_was_over_before_a_channel_was_up_is_not_sent_to_it(life):
    life.pagerduty.up = False
    life.look(5)
    life.pagerduty.up = True
    life.look(0)
    assert (life.slack.taken, life.pagerduty.taken) == ([BEGAN, OVER], [])


def test_a_channel_that_is_down_is_tried_once_a_look(life):
    tries = []
    life.slack.send = lambda notice: tries.append(notice) or (_ for _ in ()).throw(OSError)
    life.look(5, 5, 5)
    assert len(tries) == 1
    assert len(life.pagerduty.taken) == 3


def test_a_rule_names_its_channels_and_one_that_is_not_declared_is_said(tmp_path):
    life = Life(tmp_path, channels=["pagerduty", "carrier_pigeon"])
    life.look(5)
    assert (life.slack.taken, life.pagerduty.taken) == ([], [BEGAN])
    (failure,) = [event for event in read_events(life.lake) if event.kind == "not_sent"]
    assert failure.because == "channel carrier_pigeon is not declared in the environment"


def test_nobody_hears_of_a_silent_alert_until_the_silence_is_over(life):
    life.look(5)
    silence(life.lake, life.alert, at=life.now, until=life.now + 2.5 * DAY, by="ana", because="known")
    life.look(50)
    life.look(50)
    assert life.slack.taken == [BEGAN]
    life.look(50)
    assert life.slack.taken == [BEGAN, WORSE]


def test_the_end_of_a_silent_alert_is_sent_and_its_next_beginning_is_not(life):
    life.look(5)
    silence(life.lake, life.alert, at=life.now, until=life.now + 9 * DAY, by="ana", because="known")
    life.look(0)
    life.look(5)
    assert life.slack.taken == [BEGAN, OVER]
    assert open_alerts(life.lake)[0].is_silent(life.now)


def test_that_somebody_took_it_up_is_sent_where_it_began(life):
    life.pagerduty.up = False
    life.look(5)
    acknowledge(life.lake, life.alert, at=life.now, by="ana", because="the shop moved")
    life.pagerduty.up = True
    life.look(5)
    taken_up = ("acknowledged", "orders: late was taken up by ana")
    assert life.slack.taken == [BEGAN, taken_up]
    life.look(5)
    assert life.pagerduty.taken == [BEGAN, taken_up]


def test_what_another_process_has_recorded_meanwhile_stands(life, monkeypatch):
    life.look(5)
    known = read_events(life.lake)
    # This process has read before the other has written.
    monkeypatch.setattr("ml_assets.alerts.look.read_events", lambda _: [])
    assert life.look(5).sent == []
    assert read_events(life.lake) == known
