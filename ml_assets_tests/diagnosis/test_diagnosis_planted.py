"""Planted causes: what a diagnosis names first, of ten seeds each."""

from collections.abc import Sequence

import polars as pl
import pytest

from ml_assets.diagnosis.causes.record import Diagnosis
from ml_assets.diagnosis.causes.upstream import UpstreamEvent
from ml_assets.diagnosis.diagnose import diagnose, diagnose_before_labels
from ml_assets.diagnosis.subject import SearchLimits
from ml_assets_tests.diagnosis.planted import (
    MACHINES_LATE,
    WAREHOUSE_LATE,
    WEATHER_QUARANTINE,
    periods,
    predict,
    subject,
    with_fahrenheit,
    with_idle_shift,
    with_slice,
    with_stock_missing,
)

SEEDS = range(10)
ROWS = 1_800
QUICK = SearchLimits(candidates=8, resamples=30)


def why(
    reference: pl.DataFrame,
    later: pl.DataFrame,
    seed: int,
    events: Sequence[UpstreamEvent] = (WAREHOUSE_LATE, MACHINES_LATE, WEATHER_QUARANTINE),
    *,
    rescores: bool = False,
) -> Diagnosis:
    asked = subject(events, rescores=rescores)
    return diagnose(predict(reference), predict(later), asked, limits=QUICK, seed=seed)


def firsts(diagnoses: list[Diagnosis]) -> list[tuple[str, str]]:
    return [(each.causes[0].kind, each.causes[0].subject) if each.causes else ("none", "") for each in diagnoses]


@pytest.mark.parametrize(
    ("where", "named", "seeds"),
    [
        (pl.col("shop") == "c", "shop = c", range(10)),
        ((pl.col("shop") == "c") & (pl.col("region") == "north"), "region = north and shop = c", range(2)),
    ],
    ids=["one column", "a pair"],
)
def test_a_slice_whose_relation_changed_is_named_first_although_another_feature_moved(where, named, seeds):
    found = []
    for seed in seeds:
        rng, reference, later = periods(seed, ROWS)
        found.append(why(reference, with_idle_shift(with_slice(rng, later, where)), seed))
    assert firsts(found).count(("slice", named)) >= 0.9 * len(found)
    assert all("idle" in each.harmless for each in found)
    assert not any(event for each in found for cause in each.causes for event in cause.events)


def test_a_feature_that_shifts_without_harm_is_named_as_harmless_and_nothing_as_a_cause():
    found = []
    for seed in SEEDS:
        _, reference, later = periods(seed, ROWS)
        found.append(why(reference, with_idle_shift(later), seed))
    assert sum(each.harmless[:1] == ("idle",) and not each.causes for each in found) >= 9
    # Its source was late, and is not blamed for a feature that moved without harm.
    assert all(MACHINES_LATE in each.coincided for each in found)


@pytest.mark.parametrize("rescores", [True, False], ids=["with the model", "without it"])
def test_a_changed_unit_is_named_first_with_its_source(rescores):
    found = []
    for seed in SEEDS if rescores else range(2):
        _, reference, later = periods(seed, ROWS)
        found.append(why(reference, with_fahrenheit(later), seed, rescores=rescores))
    right = [each for each in found if each.causes and each.causes[0].unit is not None]
    assert len(right) >= 0.9 * len(found)
    for first in (each.causes[0] for each in right):
        assert (first.kind, first.subject, first.features) == ("unit_change", "weather.temp", ("temperature",))
        assert first.unit is not None
        assert first.unit.name == "°C to °F"
        assert (first.restored or 0.0) > 0.9 if rescores else first.restored is None


def test_a_late_delivery_is_named_first_and_one_that_moved_nothing_is_not():
    found = []
    for seed in SEEDS:
        rng, reference, later = periods(seed, ROWS)
        found.append(why(reference, with_stock_missing(rng, later), seed))
    assert firsts(found).count(("upstream", "warehouse")) >= 9
    for each in found:
        assert {MACHINES_LATE, WEATHER_QUARANTINE} <= {*each.coincided}
        assert all(cause.features == ("stock",) for cause in each.causes if cause.kind == "upstream")


def test_a_changed_unit_that_did_no_harm_is_no_cause_and_is_said():
    _, reference, later = periods(0, ROWS)
    moved = [frame.with_columns(pl.col("idle") + 5) for frame in (reference, later)]
    found = why(moved[0], moved[1].with_columns(pl.col("idle") * 100), 0)
    assert found.causes == ()
    assert "idle is as if its unit had gone from a unit to hundredths" in found.notes[0]


def test_a_diagnosis_is_the_same_again_and_comes_back_from_its_json():
    rng, reference, later = periods(3, ROWS)
    changed = with_slice(rng, later, pl.col("shop") == "c")
    first, second = (why(reference, changed, 3) for _ in range(2))
    assert first == second
    assert Diagnosis.model_validate_json(first.model_dump_json()) == first


def test_rows_without_a_label_are_counted_and_left_out():
    _, reference, later = periods(4, ROWS)
    half = later.with_columns(label=pl.when(pl.col("at").dt.day() < 15).then("label"))
    found = why(reference, half, 4)
    unknown = half["label"].null_count()
    assert found.decomposition.rows == ROWS - unknown
    assert any(f"{unknown:,} later rows have no label yet" in note for note in found.notes)


def test_before_labels_are_known_a_late_delivery_is_named_and_a_changed_relation_cannot_be():
    found = []
    for seed in range(2):
        rng, reference, later = periods(seed, ROWS)
        unlabelled = with_stock_missing(rng, later).with_columns(label=pl.lit(None, pl.Int64))
        asked = subject([WAREHOUSE_LATE, MACHINES_LATE])
        found.append(diagnose_before_labels(predict(reference), predict(unlabelled), asked, limits=QUICK, seed=seed))
    assert all(each.basis == "estimated" and each.decomposition.relation is None and not each.slices for each in found)
    assert all("labels are not known yet" in each.notes[0] for each in found)
    assert [each.feature for each in found[0].moved] == ["stock"]
