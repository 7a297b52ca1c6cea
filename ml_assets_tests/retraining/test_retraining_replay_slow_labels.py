"""A replay whose labels take up to sixty days: each retraining learns what was known, each decision counts what had
matured."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.monitoring.performance import watch
from ml_assets.monitoring.performance.table import no_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.replay.lived import History, LivedPolicy, Period
from ml_assets.retraining.replay.measures import ReplayMeasures
from ml_assets.retraining.replay.run import replay
from ml_assets.retraining.replay.store import ReplayStore
from ml_assets.retraining.spec import RetrainingSpec, policies
from ml_assets.training import fit
from ml_assets.training.spec import ModelSpec

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
START, DAYS, A_DAY = datetime(2021, 1, 1, tzinfo=UTC), 365, 20
GAP = 60 * DAY
MODEL = ModelSpec.model_validate(
    {
        "name": "m",
        "description": "Outcome of a row of a made-up world.",
        "spine": {"table": "rows", "key": ["id"], "time": "at"},
        "label": {"column": "y", "known_at": "known_at"},
        "features": ["view"],
        "split": {"validation": "10d", "holdout": "14d", "gap": "60d", "min_rows": 40},
        "search": {"trials": 1, "max_rounds": 5},
        "training": {"max_rounds": 10, "threads": 1},
        "evaluation": {"resamples": 100, "block": "1d"},
        "promotion": {"resamples": 100, "margin": 0.3},
    }
)
MONITORING = MonitoringSpec(
    chunk="31d", min_chunk_rows=100, labels={"complete": 1.0, "matured": 0.8, "until": "90d"}, earlier_drops=0
)
POLICY = RetrainingSpec(
    evidence=["realised"], cooldown=None, min_new_labels=0, max_drop=0.1, resamples=100, breaches=2, of_last=3
)


def month(number: int) -> datetime:
    return datetime(2021, number, 1, tzinfo=UTC) if number <= 12 else datetime(2022, number - 12, 1, tzinfo=UTC)


PERIODS = [Period(f"2021-{n:02}", month(n), month(n + 1)) for n in range(8, 13)]


def world() -> pl.DataFrame:
    """A year of rows whose labels come after 1 to 60 days, bad ones late; of every fortieth nothing is ever heard."""
    random, n = np.random.default_rng(3), DAYS * A_DAY
    at = [START + timedelta(minutes=1440 // A_DAY * i) for i in range(n)]
    a, b = random.normal(size=(2, n))
    y = random.random(n) < 1 / (1 + np.exp(-2 * a))
    days = np.where(y, random.uniform(20, 60, n), random.uniform(1, 40, n))
    rows = pl.DataFrame({"id": np.arange(n), "at": at, "a": a, "b": b, "y": y})
    rows = rows.with_columns(known_at=pl.Series([moment + late * DAY for moment, late in zip(at, days, strict=True)]))
    rows = rows.with_columns(pl.col("at", "known_at").dt.cast_time_unit("us"), drop=pl.col("at").dt.strftime("%Y-%m"))
    heard = pl.col("id") % 40 != 7
    return rows.with_columns(pl.when(heard).then(name).alias(name) for name in ("y", "known_at"))


WORLD = world()


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Two policies over five months, what each fit was given to learn from, and the measures that they share."""
    fitted, folder = [], tmp_path_factory.mktemp("replay")
    fit_model = fit.fit_model

    def recorded(train, validation, *rest, **named):
        fitted.append((train["id"].to_list(), validation["id"].to_list()))
        return fit_model(train, validation, *rest, **named)

    history = History(WORLD, "drop", MODEL, ["a", "b"], MONITORING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "fit_model", recorded)
        # What estimates is not looked at here.
        nothing = no_performance(pl.Datetime("us", "UTC"))
        patch.setattr(watch, "estimate_performance", lambda *_, **__: nothing)
        chosen = {"every-drop": policies(POLICY)["every-drop"], "evidence": POLICY}
        of_policy = replay(history, PERIODS, chosen, ReplayStore(folder))
        yield {each.policy: each for each in of_policy}, fitted, ReplayMeasures(history, ReplayStore(folder))


def learnt_by_hand(as_of: datetime) -> dict[str, list[int]]:
    """Row by row: which rows a training at a moment may learn from, choose by and be judged on."""
    holdout_end = as_of - GAP
    holdout_start = holdout_end - 14 * DAY
    validation_end = holdout_start - GAP
    validation_start = validation_end - 10 * DAY
    train_end = validation_start - GAP
    parts = {
        "train": (START, train_end, validation_start),
        "validation": (validation_start, validation_end, holdout_start),
        "holdout": (holdout_start, holdout_end, as_of),
    }
    found: dict[str, list[int]] = {part: [] for part in parts}
    for row in WORLD.iter_rows(named=True):
        for part, (begin, end, known_by) in parts.items():
            if begin <= row["at"] < end and row["known_at"] is not None and row["known_at"] <= known_by:
                found[part].append(row["id"])
    return found


def test_each_retraining_learns_from_the_rows_alone_whose_labels_were_known(lived):
    of_policy, fitted, measures = lived
    moments = [period.start for period in PERIODS]
    assert of_policy["every-drop"].retrains == len(PERIODS) - 1
    assert len(fitted) == len(moments)
    for as_of in moments:
        by_hand = learnt_by_hand(as_of)
        assert all(len(rows) > 40 for rows in by_hand.values())
        assert (by_hand["train"], by_hand["validation"]) in fitted
        assert measures.candidate(as_of).reference["id"].to_list() == by_hand["holdout"]


def by_hand(champion, at: int) -> dict[str, tuple[float, int]]:
    """Of the periods served until `PERIODS[at]`: the metric by the labels known at its end, and how many these are."""
    found = {}
    for period in PERIODS[: at + 1]:
        known = [
            (row["y"], row["score"])
            for row in champion.filter(drop=period.name).iter_rows(named=True)
            if row["known_at"] is not None and row["known_at"] <= PERIODS[at].end
        ]
        outcomes, scores = zip(*known, strict=True)
        found[period.name] = (roc_auc_score(outcomes, scores), len(known))
    return found


@pytest.mark.parametrize("at", [1, 3, 4])
def test_evidence_is_of_the_newest_matured_chunks_as_many_as_are_counted(lived, at):
    *_, measures = lived
    champion, now = measures.candidate(PERIODS[0].start), PERIODS[at].end
    scored = pl.concat([measures.rows(champion, period) for period in PERIODS])
    assert {drop: count for drop, (_, count) in by_hand(scored, at).items()} == {
        row["drop"]: row["rows"] for row in known_performance(measures, champion, at).iter_rows(named=True)
    }
    rows_of = dict(scored.group_by("drop").len().iter_rows())
    ripe = {
        drop: value
        for drop, (value, count) in by_hand(scored, at).items()
        if count >= 0.8 * rows_of[drop] and rows_of[drop] >= 100
    }
    evidence = measures.evidence(champion, champion.as_of, PERIODS[: at + 1], measures.limits(champion, POLICY), POLICY)
    realised = next(each for each in evidence if each.kind == "realised")
    assert realised.chunks == min(3, len(ripe))
    assert realised.observed == (pytest.approx(ripe[max(ripe)]) if ripe else None)
    assert f"by {now:%Y-%m-%d}" in realised.source
    first = sorted(ripe)[-3:][0] if ripe else PERIODS[0].name
    assert (f"from {first}-01 on" if ripe else f"since {first}-01") in realised.source


def known_performance(measures: ReplayMeasures, champion, at: int) -> pl.DataFrame:
    """Return the realised row of each period served, as it was measured by the end of `PERIODS[at]`."""
    served = PERIODS[: at + 1]
    measured = [
        measures._known_performance(champion, served, number).with_columns(drop=pl.lit(period.name))
        for number, period in enumerate(served)
    ]
    return pl.concat(measured).filter(kind="realised", scope="period", metric="roc_auc")


def test_what_comes_of_a_policy_is_measured_by_every_label_and_the_missing_ones_are_counted(lived):
    of_policy = lived[0]
    never_heard = dict(WORLD.filter(pl.col("known_at").is_null()).group_by("drop").len().iter_rows())
    for policy in of_policy.values():
        assert isinstance(policy, LivedPolicy)
        assert [period.missing for period in policy.periods] == [never_heard[period.name] for period in PERIODS]
