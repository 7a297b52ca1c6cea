from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.performance.record import ERRORS, margin, past_errors, widen
from ml_assets.monitoring.performance.watch import estimate_performance, realise_performance
from ml_assets.monitoring.spec import MonitoringSpec

pytestmark = pytest.mark.slow

START = datetime(2021, 5, 1, tzinfo=UTC)
MONTH = timedelta(days=28)
COLUMNS = {"probability": "score", "prediction": "decided", "label": "bought", "time": "at"}
SPEC = MonitoringSpec(chunk="28d", estimated_metrics=["roc_auc"])


def month(number: int, seed: int, *, flat: float = 0.0, certain: float = 1.0, rows: int = 6000) -> pl.DataFrame:
    """Scored rows of one month. With ``flat`` > 0 the outcome follows the score less than the score says; ``certain``
    spreads the scores."""
    generator = np.random.default_rng(seed)
    score = generator.beta(1.2 / certain, 3.0 / certain, rows)
    chance = (1 - flat) * score + flat * 0.3
    return pl.DataFrame(
        {
            "at": [START + number * MONTH + MONTH * share for share in np.sort(generator.random(rows))],
            "score": score,
            "decided": score > 0.3,
            "bought": generator.random(rows) < chance,
        }
    )


def of_period(found: pl.DataFrame) -> dict:
    return found.filter(scope="period", metric="roc_auc").row(0, named=True)


def auc(rows: pl.DataFrame) -> float:
    return roc_auc_score(rows["bought"].to_numpy(), rows["score"].to_numpy())


@pytest.fixture(scope="module")
def drifted():
    """A calibrated reference, and two months since in which scores spread and promise twice what they hold."""
    return month(0, 1), month(1, 2, flat=0.5, certain=2.0), month(2, 3, flat=0.5, certain=2.0)


@pytest.fixture(scope="module")
def estimates(drifted):
    """The second month estimated by the reference alone, and with what is known of the first."""
    reference, earlier, now = drifted
    alone = estimate_performance(reference, now, **COLUMNS, spec=SPEC)
    first = estimate_performance(reference, earlier, **COLUMNS, spec=SPEC)
    record = pl.concat([first, realise_performance(earlier, **COLUMNS, spec=SPEC)])
    with_earlier = estimate_performance(reference, now, **COLUMNS, spec=SPEC, earlier=earlier, record=record)
    return alone, with_earlier, record


def test_estimates_follow_what_known_labels_say_of_the_months_before(drifted, estimates):
    alone, with_earlier, _ = (of_period(found) for found in (*estimates[:2], estimates[0]))
    realised = auc(drifted[2])
    assert alone["value"] - realised > 0.08, "what the reference says of scores no longer holds"
    assert abs(with_earlier["value"] - realised) < abs(alone["value"] - realised) / 2


def test_a_band_holds_the_realised_value_where_three_sampling_errors_do_not(drifted, estimates):
    found, realised = of_period(estimates[1]), auc(drifted[2])
    assert found["past_errors"] == 5, "the month before, and four stretches"
    assert found["lower"] <= realised <= found["upper"]
    noise = (found["upper"] - found["lower"]) / 2 - found["margin"]
    assert abs(found["value"] - realised) > noise


def test_labels_that_are_not_known_teach_nothing(drifted, estimates):
    reference, earlier, now = drifted
    unknown = earlier.with_columns(bought=pl.lit(None, pl.Boolean))
    assert estimate_performance(reference, now, **COLUMNS, spec=SPEC, earlier=unknown).equals(estimates[0])


def test_errors_are_those_of_periods_and_chunks_with_labels(estimates):
    record = estimates[2]
    both = record.filter(scope="period", metric="roc_auc").select("kind", "value")
    values = dict(both.iter_rows())
    found = past_errors(record, min_rows=500)
    assert found.schema == ERRORS
    assert found.sort("scope")["scope"].to_list() == ["chunk", "period"]
    assert found["error"].to_list() == pytest.approx([abs(values["estimated"] - values["realised"])] * 2)
    assert past_errors(record, min_rows=7000).is_empty()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [([], 0.0), ([0.2], 0.2), ([0.1, 0.3, 0.2], 0.3), (range(9), 8), (range(19), 17), (range(99), 89)],
)
def test_the_margin_is_the_error_of_rank_nine_tenths_of_n_plus_one(errors, expected):
    assert margin(np.array(list(errors), dtype=float)) == expected


def test_bands_by_hand():
    values = pl.DataFrame(
        {CHUNK: [0, None, None], "metric": ["roc_auc", "roc_auc", "mae"], "value": [0.9, 0.7, 5.0],
         "lower": [0.85, 0.68, 4.0], "upper": [0.95, 0.72, 6.0]}
    )  # fmt: skip
    errors = pl.DataFrame(
        [("period", "roc_auc", 0.03), ("period", "roc_auc", 0.05), ("chunk", "roc_auc", 0.2)],
        schema=ERRORS,
        orient="row",
    )
    found = widen(values, errors)
    assert found["lower"].to_list() == pytest.approx([0.65, 0.63, 4.0])
    assert found["upper"].to_list() == pytest.approx([1.0, 0.77, 6.0])
    assert found["past_errors"].to_list() == [1, 2, 0]


def test_bands_hold_nine_of_ten_periods_of_any_kind_of_error():
    # Errors far from normal, of which each period knows those before it: three sampling errors hold less than half.
    generator = np.random.default_rng(0)
    held, noise = [], []
    for _ in range(15):
        off = generator.standard_t(2, 20) * 0.02
        for at in range(5, 20):
            known = pl.DataFrame({"scope": "period", "metric": "roc_auc", "error": np.abs(off[:at])})
            value = pl.DataFrame(
                {CHUNK: [None], "metric": ["roc_auc"], "value": [0.7], "lower": [0.69], "upper": [0.71]},
                schema_overrides={CHUNK: pl.Int64},
            )
            band = widen(value, known).row(0, named=True)
            held.append(band["lower"] <= 0.7 - off[at] <= band["upper"])
            noise.append(abs(off[at]) <= 0.01)
    assert np.mean(held) >= 0.9
    assert np.mean(noise) < 0.5
