from datetime import UTC, datetime, timedelta

from ml_assets.retraining.attempts import Attempt, next_attempt
from ml_assets.retraining.spec import RetrainingSpec

SPEC = RetrainingSpec(attempts=3, retry_after="10m")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def failed(minutes_after_noon):
    return Attempt(False, NOON + timedelta(minutes=minutes_after_noon))


def after(minutes):
    return NOON + timedelta(minutes=minutes)


def test_a_new_decision_is_acted_on_at_once():
    assert next_attempt([], NOON, SPEC) == 1


def test_one_that_runs_or_has_succeeded_is_left_alone():
    assert next_attempt([Attempt(False, None)], NOON, SPEC) is None
    assert next_attempt([failed(0), Attempt(True, after(11))], after(500), SPEC) is None


def test_each_failure_doubles_the_wait():
    assert next_attempt([failed(0)], after(9), SPEC) is None
    assert next_attempt([failed(0)], after(10), SPEC) == 2
    assert next_attempt([failed(10), failed(0)], after(29), SPEC) is None
    assert next_attempt([failed(10), failed(0)], after(30), SPEC) == 3


def test_after_the_last_attempt_it_is_given_up():
    assert next_attempt([failed(0), failed(10), failed(30)], after(5000), SPEC) is None
