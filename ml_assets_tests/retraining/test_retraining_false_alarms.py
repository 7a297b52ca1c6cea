"""The two promises, on a made-up world without any drift and with a planted one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.monitoring.chunks import CHUNK, cut
from ml_assets.monitoring.drift.statistics.psi import measure_psi
from ml_assets.monitoring.inputs import plain, typed
from ml_assets.monitoring.performance.watch import realise_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.decide import decide
from ml_assets.retraining.evidence import Circumstances, gather_evidence
from ml_assets.retraining.limits import learn_limits
from ml_assets.retraining.spec import RetrainingSpec

pytestmark = pytest.mark.slow

START, DAY = datetime(2021, 5, 1, tzinfo=UTC), timedelta(days=1)
HISTORIES, OF_LAST, DAYS = 200, 3, 28
FEATURES = [f"f{i}" for i in range(12)]
MONITORING = MonitoringSpec(min_chunk_rows=100, psi_threshold=0.1)
AT_REST = Circumstances(
    as_of=START + 100 * DAY, trained_as_of=START, last_trained=START, labelled_rows=100_000, new_labels=10_000
)
COUNTED = ["realised", "calibration", "drift"]


def reference() -> pl.DataFrame:
    """Days of about 150 rows; features share a cause, and outcomes of a day share their luck."""
    rng = np.random.default_rng(11)
    made = []
    for day in range(DAYS):
        n, luck = int(rng.integers(120, 181)), rng.normal()
        cause = rng.normal(0.4 * luck, 1, (n, 1))
        odds = 1.6 * cause[:, 0] - 1
        made.append(
            pl.DataFrame(
                {
                    "at": [START + timedelta(days=day, minutes=int(m)) for m in rng.integers(0, 1440, n)],
                    **dict(zip(FEATURES, (cause + rng.normal(size=(n, len(FEATURES)))).T, strict=True)),
                    "score": 1 / (1 + np.exp(-odds)),
                    "label": rng.random(n) < 1 / (1 + np.exp(-odds - 0.2 * luck)),
                }
            )
        )
    return pl.concat(made).with_columns(prediction=pl.col("score") >= 0.5)


@pytest.fixture(scope="module")
def known() -> pl.DataFrame:
    return reference()


@pytest.fixture(scope="module")
def histories(known) -> pl.DataFrame:
    """Weeks of days drawn from the reference, one after the other."""
    rng = np.random.default_rng(12)
    days = known.with_columns(day=pl.col("at").dt.truncate("1d")).partition_by("day", maintain_order=True)
    picks = rng.integers(0, DAYS, 7 * OF_LAST * HISTORIES)
    moved = (days[p].with_columns(pl.col("at") - pl.col("day") + START + n * DAY) for n, p in enumerate(picks))
    return pl.concat(moved).drop("day")


def measure_psi_by_week(known: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    found = typed(known, rows, FEATURES)
    chunks, numbered = cut(plain(rows, found, ["at"]), "at", "7d")
    psi = measure_psi(plain(known, found, []), numbered, features=found, by=CHUNK, bins=10, floor=1e-4)
    spans = chunks.table(numbered, rows.schema["at"])
    return psi.join(spans, on=CHUNK).with_columns(
        scope=pl.lit("chunk"), method=pl.lit("psi"), threshold=pl.lit(None, pl.Float64)
    )


def realise(rows: pl.DataFrame) -> pl.DataFrame:
    about = {"probability": "score", "prediction": "prediction", "label": "label", "time": "at"}
    return realise_performance(rows, **about, spec=MONITORING).filter(scope="chunk")


def share_retrained(
    known: pl.DataFrame, drift: pl.DataFrame, performance: pl.DataFrame, policy: RetrainingSpec
) -> float:
    about = {"features": FEATURES, "time": "at", "label": "label", "metric": "roc_auc"}
    limits = learn_limits(known, **about, monitoring=MONITORING, retraining=policy)
    number = (pl.col("chunk_start") - START).dt.total_days() // (7 * OF_LAST)
    drifts, performances = (f.with_columns(n=number).partition_by("n", as_dict=True) for f in (drift, performance))
    assert len(drifts) == len(performances) == HISTORIES
    decisions = [
        decide(
            gather_evidence(
                drift=drifts[n],
                performance=performances[n],
                limits=limits,
                metric="roc_auc",
                circumstances=AT_REST,
                monitoring=MONITORING,
                retraining=policy,
            ),
            policy,
        )
        for n in drifts
    ]
    return float(np.mean([decision.retrain for decision in decisions]))


@pytest.mark.parametrize("tolerance", [{}, {"max_drop": 0.0, "drift_share": 0.0}], ids=["default", "noise alone"])
def test_false_alarms_are_rare_and_a_lost_fifth_of_auc_is_found_within_two_chunks(known, histories, tolerance):
    policy = RetrainingSpec(evidence=COUNTED, **tolerance)
    drift, realised = measure_psi_by_week(known, histories), realise(histories)
    assert share_retrained(known, drift, realised, policy) < 0.05

    rng = np.random.default_rng(13)
    auc = realise_whole(known)
    redrawn = pl.Series(rng.random(histories.height) < 0.2 * auc / (auc - 0.5))
    noise = pl.Series(rng.random(histories.height) < known["label"].mean())
    lost = histories.with_columns(label=pl.when(redrawn).then(noise).otherwise("label"))
    assert realise_whole(lost) == pytest.approx(0.8 * auc, abs=0.01)
    week = (pl.col("chunk_start") - START).dt.total_days() // 7
    before, after = realised.filter(week % OF_LAST == 0), realise(lost).filter(week % OF_LAST > 0)
    assert share_retrained(known, drift, pl.concat([before, after]), policy) >= 0.9


def realise_whole(rows: pl.DataFrame) -> float:
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(rows["label"], rows["score"])
