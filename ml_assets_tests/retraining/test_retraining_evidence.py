from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.decide import decide, describe_evidence
from ml_assets.retraining.evidence import NO_LIMIT, Circumstances, count_labels, gather_evidence
from ml_assets.retraining.limits import LearntLimits
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.spines.spec import STANDS_FOR

NOW = datetime(2021, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = LearntLimits(chance=0.07, reference=0.75, performance=0.7, calibration=0.05, drift_share=0.5)
PERFORMANCE = ["realised", "estimated"]
COLUMNS = {
    "chunk_start": pl.Datetime("us", "UTC"),
    "chunk_end": pl.Datetime("us", "UTC"),
    "rows": pl.Int64,
    "missing": pl.Int64,
    "scope": pl.String,
    "value": pl.Float64,
}


def weeks(
    values: list[float | None],
    rows: int | list[int] = 1000,
    scope: str = "chunk",
    missing: list[int] | None = None,
    **named: object,
):
    """One row a week, the last one a week before NOW."""
    count = len(values)
    return pl.DataFrame(
        {
            "chunk_start": [NOW - 7 * (count - i) * DAY for i in range(count)],
            "chunk_end": [NOW - 7 * (count - i - 1) * DAY for i in range(count)],
            "rows": rows if isinstance(rows, list) else [rows] * count,
            "missing": missing or [0] * count,
            "scope": [scope] * count,
            "value": values,
        },
        schema=COLUMNS,
    ).with_columns(**{name: pl.lit(value) for name, value in named.items()})


def performance(values, kind="realised", metric="roc_auc", **more) -> pl.DataFrame:
    return weeks(values, kind=kind, metric=metric, **more)


def drift(values, feature="size", method="psi", threshold=0.2, **more) -> pl.DataFrame:
    return weeks(values, feature=feature, method=method, threshold=threshold, **more)


def circumstances(**given) -> Circumstances:
    calm = {
        "as_of": NOW,
        "trained_as_of": NOW - 60 * DAY,
        "last_trained": NOW - 60 * DAY,
        "labelled_rows": 100_000,
        "new_labels": 10_000,
    }
    return Circumstances(**calm | given)


def gather(
    drifted=None, performed=None, metric="roc_auc", limits=LIMITS, known=None, least=500, estimated=None, exclude=(),
    **policy,
):  # fmt: skip
    found = gather_evidence(
        drift=drift([]) if drifted is None else drifted,
        performance=performance([]) if performed is None else performed,
        limits=limits,
        metric=metric,
        circumstances=known or circumstances(),
        monitoring=MonitoringSpec(
            min_chunk_rows=least, psi_threshold=0.2, estimated_metrics=estimated, exclude=list(exclude)
        ),
        retraining=RetrainingSpec(**policy),
    )
    by_kind = {item.kind: item for item in found}
    assert len(by_kind) == len(found)
    return by_kind


@pytest.mark.parametrize("kind", PERFORMANCE)
@pytest.mark.parametrize(
    ("values", "rule", "breached", "breaches", "chunks"),
    [
        ([0.6], (2, 3), False, 1, 1),
        ([0.6, 0.6], (2, 3), True, 2, 2),
        ([0.6, 0.8, 0.6], (2, 3), True, 2, 3),
        ([0.8, 0.6, 0.6], (2, 3), True, 2, 3),
        ([0.6, 0.6, 0.8], (2, 3), False, 2, 3),  # over
        ([0.6, 0.8, 0.8, 0.6], (2, 3), False, 1, 3),  # the first is too long ago
        ([0.6, 0.8, 0.8, 0.6], (2, 4), True, 2, 4),
        ([0.8, 0.8, 0.6], (1, 1), True, 1, 1),
        ([0.6, 0.6, 0.6], (3, 3), True, 3, 3),
        ([0.8, 0.6, 0.6], (3, 3), False, 2, 3),
        ([0.7, 0.7, 0.7], (1, 3), False, 0, 3),  # at the limit is within it
        ([0.6, None, 0.6, None], (2, 3), True, 2, 2),
        ([None, None], (1, 3), False, 0, 0),
        ([], (1, 3), False, 0, 0),
    ],
)
def test_performance_breaches_on_n_of_the_last_m_chunks_with_the_latest_among_them(
    kind, values, rule, breached, breaches, chunks
):
    shuffled = performance(values, kind).sample(fraction=1, shuffle=True, seed=1)
    found = gather(performed=shuffled, breaches=rule[0], of_last=rule[1])[kind]
    assert (found.breached, found.breaches, found.chunks) == (breached, breaches, chunks)
    assert found.observed == next((value for value in reversed(values) if value is not None), None)
    assert (found.threshold, found.side, found.unit) == (0.7, "below", "roc_auc")
    assert "0.750" in found.source


def test_kinds_metrics_and_scopes_are_kept_apart():
    frames = [
        performance([0.6, 0.6], "estimated"),
        performance([0.6, 0.6], metric="f1"),
        performance([0.6, 0.6], scope="period"),
        performance([0.8, 0.8]),
    ]
    found = gather(performed=pl.concat(frames))
    assert [found[kind].breached for kind in ("realised", "estimated", "calibration")] == [False, True, False]
    assert found["realised"].observed == 0.8


def test_stored_drift_of_features_that_are_left_out_by_now_is_no_evidence():
    # Two chunks from before month was left out, one since: of what all features gave the first two hold month too.
    frames = [
        drift([0.9, 0.9, 0.9], "month").filter(pl.col("chunk_start") < NOW - 7 * DAY),
        drift([0.1, 0.3, 0.1]),
        drift([0.1, 0.1, 0.1], "weight"),
        drift([5.0, 5.0, 1.0], "(all)", "reconstruction_error", threshold=2.0),
    ]
    before, now = (gather(drifted=pl.concat(frames), exclude=exclude) for exclude in ([], ["month"]))
    assert (before["drift"].breaches, now["drift"].breaches) == (1, 0)
    assert (before["multivariate"].chunks, now["multivariate"].chunks) == (3, 1)
    assert (before["multivariate"].breaches, now["multivariate"].breaches) == (2, 0)


def test_small_chunks_are_ignored():
    found = gather(performed=performance([0.6, 0.6, 0.6], rows=[500, 499, 500]))["realised"]
    assert (found.breached, found.breaches, found.chunks) == (True, 2, 2)
    found = gather(performed=performance([0.8, 0.6, 0.6], rows=[1000, 1000, 20]))["realised"]
    assert (found.breached, found.observed, found.chunks) == (False, 0.6, 2)
    frames = [drift([0.9, 0.9], rows=20), drift([0.9, 0.9], "(all)", "reconstruction_error", rows=20)]
    found = gather(drifted=pl.concat(frames))
    assert [found[kind].chunks for kind in ("drift", "multivariate")] == [0, 0]


def test_chunks_whose_labels_have_not_matured_never_breach_and_the_lag_is_named():
    # Of the newest chunks 80 and 20 % of the labels are known, 80 % are needed; the rest is left to the estimate.
    known, missing = [1000, 1000, 800, 200], [0, 0, 200, 800]
    realised = performance([0.8, 0.8, 0.8, 0.1], rows=known, missing=missing)
    estimated = performance([0.8, 0.8, 0.6, 0.6], "estimated")
    found = gather(performed=pl.concat([realised, estimated]), least=100)
    assert (found["realised"].breached, found["realised"].observed, found["realised"].chunks) == (False, 0.8, 3)
    assert found["estimated"].breached
    assert (
        "matured until 2021-06-24: the last chunks from 2021-06-03 on, 80% to 100% of their labels known; 1 chunk "
        "since 2021-06-24 has not (20% of their labels known by 2021-07-01, 80% needed); the estimate stands for the "
        "time since"
    ) in found["realised"].source
    old = pl.concat([realised.with_columns(pl.col("chunk_start", "chunk_end") - 90 * DAY), estimated])
    assert gather(performed=old, least=100)["realised"].observed == 0.8
    older = pl.concat([realised.with_columns(pl.col("chunk_start", "chunk_end") - 91 * DAY), estimated])
    assert gather(performed=older, least=100)["realised"].observed == 0.1  # nothing more is waited for
    nothing = gather(performed=performance([0.1], rows=[0], missing=[1000]), least=100)["realised"]
    assert (nothing.breached, nothing.observed) == (False, None)
    assert "no chunk has matured: 1 chunk since 2021-06-24" in nothing.source
    assert "matured" not in gather(performed=performance([0.8, 0.8]))["realised"].source


def test_calibration_error_breaches_above():
    found = gather(performed=performance([0.06, 0.04, 0.06], metric="calibration_error"))["calibration"]
    assert (found.breached, found.breaches, found.threshold, found.side) == (True, 2, 0.05, "above")


def test_a_loss_breaches_above():
    limits = LearntLimits(chance=0.07, reference=0.4, performance=0.5, calibration=0.05, drift_share=0.5)
    bad, good = ([0.6, 0.6], [0.3, 0.3])
    found = gather(performed=performance(bad, metric="log_loss"), metric="log_loss", limits=limits)["realised"]
    assert (found.breached, found.side, found.threshold) == (True, "above", 0.5)
    assert not gather(performed=performance(good, metric="log_loss"), metric="log_loss", limits=limits)[
        "realised"
    ].breached


def test_drift_is_the_share_of_features_above_the_psi_threshold():
    by_feature = {"a": [0.3, 0.3, 0.3], "b": [0.1, 0.3, 0.3], "c": [0.2, 0.3, 0.21], "d": [0.1, 0.1, None]}
    noise = [drift([0.9] * 3, "a", "jensen_shannon"), drift([0.9] * 3, "d", scope="period")]
    frames = [drift(values, feature) for feature, values in by_feature.items()]
    found = gather(drifted=pl.concat(frames + noise))["drift"]
    assert found.observed == 1.0  # a, b, c; d has no value in the latest chunk
    assert (found.breaches, found.chunks, found.breached) == (2, 3, True)  # shares 1/4, 3/4, 3/3
    still = gather(drifted=pl.concat([drift([0.3, 0.3], "a"), drift([0.1, 0.1], "b")]))["drift"]
    assert (still.observed, still.breached) == (0.5, False)


def test_multivariate_drift_has_the_limit_that_came_with_it():
    found = gather(drifted=drift([1.0, 1.3, 1.4], "(all)", "reconstruction_error", 1.2))["multivariate"]
    assert (found.observed, found.threshold, found.breaches, found.breached) == (1.4, 1.2, 2, True)
    absent = gather()["multivariate"]
    assert (absent.observed, absent.breached) == (None, False)


@pytest.mark.parametrize(
    ("rows", "new", "growth", "observed", "breached"),
    [
        (150, 50, 1.5, 1.5, True),
        (149, 49, 1.5, 1.49, False),
        (100, 0, 1.5, 1.0, False),
        (40, 40, 1.5, 40.0, True),
        (0, 0, 1.5, 0.0, False),
        (900, 800, None, 9.0, False),
    ],
)
def test_growth_is_labelled_rows_now_over_those_at_the_last_training(rows, new, growth, observed, breached):
    found = gather(known=circumstances(labelled_rows=rows, new_labels=new), growth=growth)["new_labels"]
    assert (found.observed, found.breached) == (pytest.approx(observed), breached)
    assert found.threshold == (NO_LIMIT if growth is None else growth)


def test_growth_of_a_sampled_spine_is_that_of_the_entity_moments():
    """Seventeen thinned months of 20 rows that stand for 50 each, and one whole month of 1000 since."""
    thinned = pl.DataFrame({"new": [False] * 340, STANDS_FOR: [50.0] * 340})
    whole = pl.DataFrame({"new": [True] * 1000, STANDS_FOR: [1.0] * 1000})
    labels = count_labels(pl.concat([thinned, whole]).lazy(), pl.col("new"), sampled=True)
    assert (labels.rows, labels.new, labels.moments, labels.new_moments) == (1340, 1000, 18_000.0, 1000.0)
    known = circumstances(
        labelled_rows=labels.rows,
        new_labels=labels.new,
        labelled_moments=labels.moments,
        new_moments=labels.new_moments,
    )
    found = gather(known=known, growth=1.2, min_new_labels=1000)
    assert (found["new_labels"].observed, found["new_labels"].breached) == (pytest.approx(18 / 17), False)
    assert found["new_labels"].source.startswith("18,000 labelled entity-moments now, 17,000 at the last training:")
    assert describe_evidence(found["new_labels"]) == (
        "labelled rows are 1.06 times those at the last training by the entity-moments that they stand for, the limit "
        "is 1.2"
    )
    # A training still needs so many rows: what they stand for does not make them more.
    assert (found["new_rows"].observed, found["new_rows"].breached) == (1000, False)


def test_rows_of_a_spine_without_a_sample_are_counted_whatever_their_columns():
    known = pl.LazyFrame({"new": [True, False, None], STANDS_FOR: ["a", "b", "c"]})
    labels = count_labels(known, pl.col("new"), sampled=False)
    assert (labels.rows, labels.new, labels.moments) == (3, 1, None)


@pytest.mark.parametrize(
    ("days", "limit", "breached"),
    [(179.5, "180d", False), (180, "180d", True), (5000, None, False), (0.5, "12h", True)],
)
def test_age_counts_from_the_champions_cut_off(days, limit, breached):
    known = circumstances(trained_as_of=NOW - days * DAY, last_trained=NOW)
    found = gather(known=known, max_age=limit)["age"]
    assert (found.observed, found.breached) == (pytest.approx(days), breached)


@pytest.mark.parametrize(
    ("days", "cooldown", "breached"), [(20.9, "21d", True), (21, "21d", False), (0, None, False), (0, "1h", True)]
)
def test_cooldown_counts_from_the_last_training(days, cooldown, breached):
    known = circumstances(last_trained=NOW - days * DAY, trained_as_of=NOW - 300 * DAY)
    found = gather(known=known, cooldown=cooldown)["cooldown"]
    assert (found.observed, found.breached, found.side) == (pytest.approx(days), breached, "below")


@pytest.mark.parametrize(("new", "breached"), [(999, True), (1000, False)])
def test_a_training_needs_newly_labelled_rows(new, breached):
    found = gather(known=circumstances(new_labels=new), min_new_labels=1000)["new_rows"]
    assert (found.observed, found.threshold, found.breached) == (new, 1000, breached)


def test_failed_gates_are_told():
    assert not gather()["gate"].breached
    found = gather(known=circumstances(failed_gates=("orders:contract", "orders:rows")))["gate"]
    assert (found.breached, found.observed, found.source) == (True, 2, "orders:contract; orders:rows")


def test_all_evidence_is_enough_to_decide_by_any_kind():
    found = gather(performed=performance([0.6, 0.6]), known=circumstances(trained_as_of=NOW - 400 * DAY))
    every_kind = ["drift", "multivariate", "calibration", "estimated", "realised", "new_labels", "age"]
    decision = decide(list(found.values()), RetrainingSpec(evidence=every_kind))
    assert decision.reason == (
        "retrain: realised roc_auc 0.6 under the limit 0.7 in 2 of the last 2 chunks; "
        "the champion's cut-off is 400 days old, the limit is 180"
    )


def test_a_metric_that_is_not_estimated_says_so_and_is_held_against_known_labels():
    limits = LearntLimits(chance=0.07, reference=0.9, performance=1.0, calibration=0.05, drift_share=0.5)
    found = gather(performed=performance([1.1, 1.2], metric="rmsse"), metric="rmsse", limits=limits)
    assert (found["realised"].breached, found["realised"].side, found["realised"].unit) == (True, "above", "rmsse")
    assert (found["estimated"].observed, found["estimated"].breached) == (None, False)
    assert found["estimated"].source == "rmsse cannot be estimated before labels are known"
    left_out = gather(metric="value", limits=limits, estimated=["roc_auc"])["estimated"].source
    assert left_out == "value is not estimated before labels are known: monitoring.estimated_metrics leaves it out"


def test_what_decisions_bring_counts_before_labels_are_known():
    limits = LearntLimits(chance=0.07, reference=900.0, performance=880.0, calibration=0.05, drift_share=0.5)
    performed = performance([870.0, 860.0], kind="estimated", metric="value", without_payoff=0)
    found = gather(performed=performed, metric="value", limits=limits)
    estimate, known = found["estimated"], found["realised"]
    assert (estimate.observed, estimate.breached, estimate.side, estimate.unit) == (860.0, True, "below", "value")
    assert estimate.source.startswith("before labels are known; limit from resampled days")
    assert (known.observed, known.breached) == (None, False)
    # Too few of the rows of a chunk have their payoffs.
    unpaid = gather(performed=performed.with_columns(without_payoff=999_999), metric="value", limits=limits)
    assert unpaid["estimated"].chunks == 0
