"""Until when a drop is measured again, which measure readers take, and whether known rows are like the others."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ml_assets.monitoring.maturity import MaturitySpec, completeness, is_matured, known_share
from ml_assets.monitoring.performance.known_rows import compare_scores, is_fair_sample
from ml_assets.monitoring.performance.measures import MEASURED_AT, add_measures, newest_measures
from ml_assets.monitoring.performance.realised import realise_performance
from ml_assets.monitoring.report.summary import LabelSummary
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.window import describe_lag

JUNE = datetime(2024, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEC = MaturitySpec(complete=0.9, matured=0.5, until="30d")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("complete", 0.0, "complete: 0.0 is no share above 0 and up to 1"),
        ("matured", 1.5, "matured: 1.5 is no share"),
        ("until", "soon", "until: 'soon' is no duration"),
    ],
)
def test_wrong_values_are_refused_by_field(field, value, message):
    with pytest.raises(ValueError, match=message):
        MonitoringSpec.model_validate({"labels": {field: value}})


def measure(drop: str, *counts: tuple[str, int, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [(drop, "realised", scope, rows, missing) for scope, rows, missing in counts],
        schema={"drop": pl.String, "kind": pl.String, "scope": pl.String, "rows": pl.Int64, "missing": pl.Int64},
        orient="row",
    )


@pytest.mark.parametrize(
    ("counts", "complete"),
    [
        ([("period", 90, 10), ("chunk", 90, 10)], True),
        ([("period", 89, 11), ("chunk", 89, 11)], False),
        ([("period", 92, 8), ("chunk", 85, 0), ("chunk", 7, 8)], False),  # the last chunk has not matured
        ([("period", 96, 4), ("chunk", 93, 0), ("chunk", 3, 4)], True),  # it is too small to count
        ([("period", 0, 0)], True),
    ],
)
def test_a_drop_is_complete_by_its_share_and_that_of_each_large_chunk(counts, complete):
    found = completeness(measure("a", *counts), "drop", SPEC, min_rows=10)
    assert found.rows() == [("a", counts[0][1], complete)]


def test_labels_are_waited_for_until_the_declared_age():
    assert SPEC.waits(JUNE, JUNE + 30 * DAY)
    assert not SPEC.waits(JUNE, JUNE + 31 * DAY)


def test_a_chunk_matures_by_its_share_or_by_its_age():
    chunks = pl.DataFrame({"rows": [5, 4, 4, 0], "missing": [5, 6, 6, 0], "chunk_end": [JUNE, JUNE, JUNE - DAY, JUNE]})
    assert chunks.select(known_share()).to_series().to_list() == [0.5, 0.4, 0.4, None]
    assert chunks.select(is_matured(SPEC, JUNE + 30 * DAY)).to_series().to_list() == [True, False, True, True]
    assert chunks.select(is_matured(SPEC)).to_series().to_list() == [True, False, False, True]
    nothing = pl.DataFrame({"rows": [0], "missing": [500], "chunk_end": [JUNE]})
    assert nothing.select(is_matured(SPEC, JUNE + 400 * DAY)).item() is False


def test_what_is_waited_for_is_counted_from_when_labels_can_be_known():
    late = SPEC.after(100 * DAY)
    assert (late.until, late.complete, late.matured) == ("130d", 0.9, 0.5)
    assert late.waits(JUNE, JUNE + 130 * DAY)
    assert not late.waits(JUNE, JUNE + 131 * DAY)
    assert SPEC.after(timedelta(0)) == SPEC
    assert SPEC.after(timedelta(hours=1)).until_time == 30 * DAY + timedelta(hours=1)


def test_a_decision_says_which_chunks_count_by_their_age_alone_and_which_never_will():
    monitoring = MonitoringSpec(min_chunk_rows=100, labels=SPEC)
    chunks = pl.DataFrame(
        [("chunk", JUNE + n * 7 * DAY, JUNE + (n + 1) * 7 * DAY, rows, 500 - rows) for n, rows in enumerate([200, 0])],
        schema=["scope", "chunk_start", "chunk_end", "rows", "missing"],
        orient="row",
    )
    by_age = "1 of these counts by its age alone (40% of its labels known by 2024-12-01, 50% needed)"
    year_end = datetime(2024, 12, 1, tzinfo=UTC)
    assert describe_lag(chunks.head(1), monitoring, year_end, 3) == f"matured until 2024-06-08: {by_age}"
    said = describe_lag(chunks, monitoring, year_end, 3)
    assert by_age in said
    assert "1 chunk since 2024-06-08 has not (0% of their labels known by 2024-12-01, 50% needed)" in said
    few = chunks.head(1).with_columns(rows=pl.lit(20), missing=pl.lit(480))  # old, but of too few rows to count
    assert describe_lag(few, monitoring, year_end, 3).startswith("no chunk has matured: 1 chunk since 2024-06-01 (4%")


def report(*rows: tuple[str, str, datetime | None, float]) -> pl.DataFrame:
    schema = {"drop": pl.String, "kind": pl.String, MEASURED_AT: pl.Datetime("us", "UTC"), "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


MEASURES = report(
    ("a", "estimated", None, 0.1),
    ("a", "realised", None, 0.2),
    ("a", "realised", JUNE + 2 * DAY, 0.4),
    ("a", "realised", JUNE + DAY, 0.3),
    ("b", "realised", JUNE, 0.5),
)


@pytest.mark.parametrize(
    ("as_of", "values"), [(None, [0.1, 0.4, 0.5]), (JUNE + DAY, [0.1, 0.3, 0.5]), (JUNE - DAY, [0.1, 0.2])]
)
def test_readers_take_the_newest_measure_of_each_kind_or_that_of_a_moment(as_of, values):
    assert sorted(newest_measures(MEASURES.lazy(), "drop", as_of).collect()["value"]) == values


def test_a_report_from_before_moments_were_kept_is_read_as_it_is():
    old = MEASURES.filter(pl.col(MEASURED_AT).is_null()).drop(MEASURED_AT)
    assert sorted(newest_measures(old.lazy(), "drop").collect()["value"]) == [0.1, 0.2]


def test_a_measure_replaces_only_that_of_the_same_drop_and_moment():
    ends = {"a": JUNE - 5 * DAY, "b": JUNE}
    again = report(("a", "realised", JUNE + DAY, 0.9), ("b", "realised", JUNE, 0.8))
    made = [("a", JUNE + DAY), ("b", JUNE), ("a", ends["a"])]  # the last without rows: nothing is scored any more
    found = add_measures(MEASURES, again, made, "drop", ends.__getitem__)
    assert found.select(MEASURED_AT, "value").rows() == [(JUNE + 2 * DAY, 0.4), (JUNE + DAY, 0.9), (JUNE, 0.8)]
    assert add_measures(found, again, made, "drop", ends.__getitem__).sort("value").equals(found.sort("value"))
    kept = add_measures(MEASURES, report(), [], "drop", ends.__getitem__)
    assert kept.filter(kind="estimated")[MEASURED_AT].to_list() == [ends["a"]]  # null stands for the end


@pytest.mark.parametrize(("shift", "fair"), [(0.0, True), (0.02, True), (0.5, False)])
def test_scores_of_known_and_unknown_rows_are_compared_as_scipy_does(shift, fair):
    random = np.random.default_rng(7)
    known, unknown = random.normal(0, 1, 400).round(1), random.normal(shift, 1, 300).round(1)
    found = compare_scores(pl.Series(known), pl.Series(unknown))
    assert found["score_distance"] == pytest.approx(stats.ks_2samp(known, unknown).statistic)
    assert (found["known_mean_score"], found["unknown_mean_score"]) == pytest.approx((known.mean(), unknown.mean()))
    assert is_fair_sample(found["score_distance"], 400, 300) == fair


def test_a_difference_that_chance_makes_is_fair_whatever_its_size():
    # Of 100 fair samples of 20 rows and 20 about one passes the limit.
    random = np.random.default_rng(3)
    distances = [compare_scores(*(pl.Series(random.random(20)) for _ in "ab"))["score_distance"] for _ in range(300)]
    assert 0 <= sum(not is_fair_sample(distance, 20, 20) for distance in distances) <= 9
    assert max(distances) > 0.3
    assert is_fair_sample(compare_scores(pl.Series([0.5]), pl.Series([], dtype=pl.Float64))["score_distance"], 1, 0)


def test_the_report_says_how_many_labels_are_missing_and_whether_the_others_are_a_fair_sample():
    assert LabelSummary(10, 0, 0.4, None, None).sentence == ""
    assert LabelSummary(0, 10, None, 0.4, None).sentence == "10 of 10 labels are missing (0.0% are known)."
    unfair = LabelSummary(600, 400, 0.3, 0.6, 0.45).sentence
    assert unfair.startswith(
        "400 of 1,000 labels are missing (60.0% are known). The rows whose label is known are no fair"
    )
    assert "mean score 0.300 where the label is known, 0.600 where it is not" in unfair
    assert "like the others" in LabelSummary(600, 400, 0.3, 0.31, 0.05).sentence


def test_a_chunk_that_has_not_matured_raises_no_alert():
    rows = pl.DataFrame({"at": [JUNE + DAY * (i % 7) for i in range(700)], "score": [i % 10 / 10 for i in range(700)]})
    rows = rows.with_columns(
        decided=pl.col("score") > 0.5, y=pl.when(pl.int_range(700) < 340).then(pl.col("score") < 0.5)
    )
    spec = MonitoringSpec(floors={"roc_auc": 0.5}, min_chunk_rows=100, labels=SPEC)
    about = {"probability": "score", "prediction": "decided", "label": "y", "time": "at", "spec": spec}

    def alerts(as_of, frame=rows):
        found = realise_performance(frame, **about, as_of=as_of).filter(metric="roc_auc", scope="period")
        assert found["value"].item() == 0.0
        return found["alert"].item()

    assert not alerts(JUNE + 7 * DAY)  # 340 of 700 labels
    assert alerts(JUNE + 38 * DAY)  # the chunk ended more than 30 days ago
    assert alerts(JUNE + 7 * DAY, rows.head(680))  # half of them
    found = realise_performance(rows, **about).filter(metric="roc_auc", scope="period").row(0, named=True)
    assert (found["rows"], found["missing"], found["known_share"]) == (340, 360, pytest.approx(340 / 700))
    assert found["known_mean_score"] == pytest.approx(rows.head(340)["score"].mean())
