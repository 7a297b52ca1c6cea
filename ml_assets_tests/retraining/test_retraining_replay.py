from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.candidates import train_candidate
from ml_assets.retraining.replay import measures as module
from ml_assets.retraining.replay.lived import History, LivedPeriod, LivedPolicy, Period
from ml_assets.retraining.replay.run import certain_trainings, replay, replay_steps
from ml_assets.retraining.replay.store import DONE, ReplayStore
from ml_assets.retraining.spec import RetrainingSpec, policies
from ml_assets.training.evaluation.evaluate import evaluate, read_interval
from ml_assets.training.fit import predict
from ml_assets.training.spec import ModelSpec
from ml_assets.training.splits import split_by_time

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
FEATURES = ["a", "b", "c"]
CHANGE = datetime(2021, 5, 1, tzinfo=UTC)
MODEL = ModelSpec.model_validate(
    {
        "name": "m",
        "description": "Outcome of a row of a made-up world.",
        "spine": {"table": "rows", "key": ["id"], "time": "at"},
        "label": {"column": "y", "known_at": "known_at"},
        "features": ["view"],
        "split": {"train": "14d", "validation": "5d", "holdout": "7d", "gap": "1d", "min_rows": 40},
        "search": {"trials": 2, "max_rounds": 20, "rows": 1000},
        "training": {"max_rounds": 20, "threads": 1},
        "evaluation": {"resamples": 100, "block": "1d"},
        "promotion": {"resamples": 100, "margin": 0.02},
    }
)
DECLARED = RetrainingSpec(
    cooldown=None, min_new_labels=0, growth=None, max_age=None, max_drop=0.1, resamples=100,
    evidence=["realised", "calibration"],
)  # fmt: skip
CHOSEN = {name: policies(DECLARED)[name] for name in ("never", "every-drop", "evidence", "drift")}


def month(number: int) -> datetime:
    return datetime(2021, number, 1, tzinfo=UTC)


PERIODS = [Period(f"2021-{n:02}", month(n), month(n + 1)) for n in range(3, 9)]


def world() -> pl.DataFrame:
    """Eight months of 40 rows a day; from May on ``a`` means the opposite. A label is known a day later."""
    rng, days = np.random.default_rng(5), (month(9) - month(1)).days
    at = [month(1) + timedelta(days=day, minutes=int(m)) for day in range(days) for m in rng.integers(0, 1440, 40)]
    values = rng.normal(size=(len(at), 3))
    sign = np.where([moment < CHANGE for moment in at], 1, -1)
    y = rng.random(len(at)) < 1 / (1 + np.exp(-(2 * sign * values[:, 0] + values[:, 1])))
    named = dict(zip(FEATURES, values.T, strict=True))
    rows = pl.DataFrame({"id": np.arange(len(at)), "at": at, **named, "y": y})
    return rows.with_columns(known_at=pl.col("at") + DAY, drop=pl.col("at").dt.strftime("%Y-%m"))


WORLD = world()


def history(rows: pl.DataFrame = WORLD) -> History:
    return History(rows, "drop", MODEL, FEATURES, MonitoringSpec(min_chunk_rows=100))


def live(folder, rows=WORLD, chosen=CHOSEN, periods: Sequence[Period] = PERIODS, on_step=lambda _: None, **more):
    lived = replay(history(rows), periods, chosen, ReplayStore(folder), on_step, **more)
    return {one.policy: one for one in lived}


@pytest.fixture
def trained(monkeypatch) -> list[datetime]:
    """The moments that were trained as of, while the test runs."""
    moments = []

    def counted(rows, spec, features, as_of, studies, sampled):
        moments.append(as_of)
        return train_candidate(rows, spec, features, as_of, studies, sampled)

    monkeypatch.setattr(module, "train_candidate", counted)
    return moments


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder, steps, moments = tmp_path_factory.mktemp("undisturbed"), [], []

    def counted(rows, spec, features, as_of, studies, sampled):
        moments.append(as_of)
        return train_candidate(rows, spec, features, as_of, studies, sampled)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train_candidate", counted)
        lived = live(folder, on_step=steps.append)
    return lived, steps, moments, folder


def timeless(lived: dict[str, LivedPolicy]) -> list[LivedPolicy]:
    return [replace(one, training_seconds=0.0) for one in lived.values()]


def test_policies_live_the_same_periods_and_retrain_as_they_say(undisturbed):
    lived, steps, _, _ = undisturbed
    assert {name: one.retrains for name, one in lived.items()} == {
        "never": 0,
        "every-drop": 5,
        "evidence": 1,
        "drift": 0,
    }
    assert all([period.period for period in one.periods] == [p.name for p in PERIODS] for one in lived.values())
    assert {period.version for period in lived["never"].periods} == {"2021-03-01"}
    (found,) = (period for period in lived["evidence"].periods if period.retrained)
    assert found.period == "2021-05"
    assert found.promoted
    assert "realised roc_auc" in found.decision
    assert [period.version for period in lived["evidence"].periods] == ["2021-03-01"] * 3 + ["2021-06-01"] * 3
    assert len(steps) == replay_steps(PERIODS, list(CHOSEN)) == 24
    assert steps[0] == "never: 2021-03"


def test_a_challenger_without_promotion_leaves_the_champion(undisturbed):
    lived, *_ = undisturbed
    serving = "2021-03-01"
    for number, period in enumerate(lived["every-drop"].periods):
        assert period.version == serving
        serving = f"{PERIODS[number].end:%Y-%m-%d}" if period.promoted else serving
        assert period.retrained == (period is not lived["every-drop"].periods[-1])


def test_the_best_policy_has_no_regret_and_the_others_their_distance_to_it(undisturbed):
    lived, *_ = undisturbed
    best = max(one.mean for one in lived.values())
    for one in lived.values():
        assert one.mean == pytest.approx(np.mean([period.value for period in one.periods]))
        assert one.regret == pytest.approx(best - one.mean)
        assert one.low < one.mean < one.high
    assert min(one.regret for one in lived.values()) == 0
    assert lived["never"].regret > 0.2 > 0.1 > lived["evidence"].regret
    assert lived["never"].detection_delay is None
    assert lived["evidence"].detection_delay == 0


def test_values_are_those_of_the_champion_on_all_labels_of_the_period(undisturbed):
    lived, _, _, folder = undisturbed
    first = ReplayStore(folder).candidate(month(3), lambda: pytest.fail("trained again")).model
    for period, told in zip(PERIODS, lived["never"].periods, strict=True):
        rows = WORLD.filter(pl.col("at") >= period.start, pl.col("at") < period.end)
        assert told.value == pytest.approx(roc_auc_score(rows["y"], predict(first, rows)))
        assert told.missed == (period.start >= CHANGE)


def test_what_policies_train_alike_is_trained_once_and_counts_for_each(undisturbed):
    lived, _, moments, folder = undisturbed
    assert sorted(moments) == [month(n) for n in range(3, 9)]
    seconds = {n: ReplayStore(folder).candidate(month(n), lambda: None).seconds for n in range(3, 9)}
    assert lived["never"].training_seconds == pytest.approx(seconds[3])
    assert lived["evidence"].training_seconds == pytest.approx(seconds[3] + seconds[6])
    assert lived["every-drop"].training_seconds == pytest.approx(sum(seconds.values()))


def test_trainings_side_by_side_come_out_as_one_by_one(undisturbed, trained, tmp_path):
    expected, every_step, moments, _ = undisturbed
    steps, told = [], []
    found = live(tmp_path, on_step=steps.append, workers=3, on_training=told.append)
    assert timeless(found) == timeless(expected)
    assert steps == every_step
    assert sorted(trained) == sorted(moments)
    assert told == [f"trained {n} of 6 side by side" for n in range(1, 7)]


def test_too_little_history_stops_trainings_side_by_side(tmp_path, trained):
    periods = [
        Period("2021-01", month(1) + 15 * DAY, month(2)),
        *(Period(f"2021-{n:02}", month(n), month(n + 1)) for n in range(2, 9)),
    ]
    with pytest.raises(ValueError, match="rows with a known label, fewer than"):
        live(tmp_path, periods=periods, workers=2)
    assert len(trained) < len(periods)


@pytest.mark.parametrize(
    ("changes", "certain"),
    [
        ({"evidence": ["age"], "max_age": "28d"}, True),
        ({"evidence": ["drift", "age"], "max_age": "30d", "cooldown": "30d"}, True),
        ({"evidence": ["age"], "max_age": "31d"}, False),
        ({"evidence": ["age"], "max_age": "1d", "cooldown": "31d"}, False),
        ({"evidence": ["age"], "max_age": "1d", "min_new_labels": 1}, False),
        ({"evidence": ["age"], "max_age": None}, False),
        ({"evidence": ["drift"], "max_age": "1d"}, False),
        ({"evidence": []}, False),
    ],
)
def test_certain_trainings_are_those_that_an_age_alone_brings(changes, certain):
    periods = [Period(f"2021-{n:02}", month(n), month(n + 1)) for n in range(4, 7)]  # the shortest has 30 days
    bare = RetrainingSpec(cooldown=None, min_new_labels=0).model_dump()
    chosen = [policies(DECLARED)["never"], RetrainingSpec(**{**bare, **changes})]
    later = [month(5), month(6)] if certain else []
    assert certain_trainings(periods, chosen) == [month(4), *later]


def test_a_candidate_is_measured_as_the_evaluation_does(undisturbed):
    *_, folder = undisturbed
    found = ReplayStore(folder).candidate(month(4), lambda: pytest.fail("trained again"))
    rows = found.reference
    split = split_by_time(WORLD, spine=MODEL.spine, label=MODEL.label, split=MODEL.split, as_of=month(4))
    assert rows["id"].to_list() == split.holdout["id"].to_list()
    measured = evaluate(
        rows, rows["score"].to_numpy(), np.full(rows.height, split.train["y"].mean()),
        label="y", time="at", threshold=found.model.threshold, slices=[], evaluation=MODEL.evaluation, seed=MODEL.seed,
    )  # fmt: skip
    assert found.values == measured.values
    assert found.over_baseline == read_interval(measured.metrics, "improvement", MODEL.promotion.metric)


def test_what_no_policy_counts_is_not_measured(tmp_path):
    live(tmp_path, chosen={"x": policies(DECLARED)["evidence"]}, periods=PERIODS[:2])
    assert {table.name.split("-")[0] for table in tmp_path.glob("*.parquet")} == {"performance"}
    live(tmp_path, chosen={"x": policies(DECLARED)["multivariate"]}, periods=PERIODS[:2])
    assert {table.name.split("-")[0] for table in tmp_path.glob("*.parquet")} == {"performance", "drift"}


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_replay_that_is_killed_twice_goes_on_where_it_stood(undisturbed, trained, tmp_path):
    expected, every_step, moments, _ = undisturbed
    steps = []

    def step(told: str) -> None:
        steps.append(told)
        if len(steps) in (3, 3 + 14):
            raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            live(tmp_path, on_step=step)
    before = list(trained)
    resumed = live(tmp_path, on_step=step)
    assert steps == [*every_step[:3], *every_step[:14], *every_step]
    assert timeless(resumed) == timeless(expected)
    assert sorted(trained) == sorted(moments)
    assert not set(before) & set(trained[len(before) :])
    again = live(tmp_path)
    assert again == resumed
    assert len(trained) == len(moments)


def test_a_training_killed_half_way_is_made_again(tmp_path, trained):
    store, never = ReplayStore(tmp_path), {"never": CHOSEN["never"]}
    first = live(tmp_path, chosen=never, periods=PERIODS[:1])
    (done,) = tmp_path.glob(f"candidate-*/{DONE}")
    done.unlink()
    assert timeless(live(tmp_path, chosen=never, periods=PERIODS[:1])) == timeless(first)
    assert trained == [month(3), month(3)]
    store.frame("table", lambda: pl.DataFrame({"x": [1]}))
    (tmp_path / "table.parquet").rename(tmp_path / "table.part")
    assert store.frame("table", lambda: pl.DataFrame({"x": [2]}))["x"].item() == 2


def measured_by(now: datetime, table: Path) -> bool:
    """Whether a stored table belongs to a training as of ``now`` or earlier, or to a period over by then."""
    if table.name == "reference.parquet":
        return table.parent.name <= f"candidate-{now:%Y%m%dT%H%M%S}"
    return table.stem[-7:] < f"{now:%Y-%m}"


@pytest.mark.parametrize("number", [2, 3])
def test_nothing_known_after_a_period_reaches_its_decision(undisturbed, tmp_path, number):
    expected, _, _, folder = undisturbed
    now = PERIODS[number].end
    later, unknown = pl.col("at") >= now, pl.col("known_at") > now
    poisoned = WORLD.with_columns(
        y=pl.when(unknown).then(~pl.col("y")).otherwise("y"),
        **{name: pl.when(later).then(50 * pl.col(name) + 9).otherwise(name) for name in FEATURES},
    )
    assert poisoned.filter(unknown, ~later).height > 20
    found = live(tmp_path, poisoned, periods=PERIODS[: number + 2])
    tables = [table.relative_to(tmp_path) for table in tmp_path.rglob("*.parquet") if measured_by(now, table)]
    assert len(tables) == 2 * (number + 1) + number + 2
    for table in tables:
        assert pl.read_parquet(tmp_path / table).equals(pl.read_parquet(folder / table)), table
    for name, one in found.items():
        decided = [(p.decision, p.retrained, p.promoted, p.version) for p in one.periods[: number + 1]]
        asked = [(p.decision, p.retrained, p.promoted, p.version) for p in expected[name].periods[: number + 1]]
        assert decided == asked
        assert abs(one.periods[-1].value - expected[name].periods[number + 1].value) > 0.1


def test_a_first_champion_below_its_floor_is_a_clear_error(tmp_path):
    strict = replace(history(), model=MODEL.model_copy(update={"floors": {"roc_auc": 0.99}}))
    with pytest.raises(ValueError, match="the first champion, trained as of 2021-03-01, is refused"):
        replay(strict, PERIODS, CHOSEN, ReplayStore(tmp_path))


def test_too_little_history_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="rows with a known label, fewer than"):
        live(tmp_path, periods=[Period("2021-01", month(1) + 15 * DAY, month(2))])


def lived_policy(pattern: str) -> LivedPolicy:
    """One letter per period: ``.`` fine, ``m`` missed its limit, ``r`` retrained, ``b`` both."""
    periods = tuple(
        LivedPeriod("p", 0.7, 0.6, 0.8, "v", "", letter in "rb", False, letter in "mb") for letter in pattern
    )
    return LivedPolicy("x", periods, 0.7, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("pattern", "delay", "retrains"),
    [
        ("....", None, 0),
        (".mm.", None, 0),
        ("r.r.", None, 2),
        (".b..", 0, 1),
        (".mb.", 1, 1),
        (".mmr", 2, 1),
        ("m..r", 3, 1),
        ("b.mr", 0.5, 2),
        ("rmrbmm", 0.5, 3),
    ],
)
def test_detection_delay_by_hand(pattern, delay, retrains):
    assert lived_policy(pattern).detection_delay == delay
    assert lived_policy(pattern).retrains == retrains
