"""A made spine of which a share of the entity-moments is kept, where drops are there to learn from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.declarations.specs import DeclaredSpine
from ml_assets.features.digests.row_hashes import hash_rows
from ml_assets.lake import Lake
from ml_assets.sources.drops.spec import Drops
from ml_assets.spines import rows as spines_rows
from ml_assets.spines.rows import MadeSpine, make_rows
from ml_assets.spines.spec import HORIZON, STANDS_FOR, CalendarSpec, EntitiesSpec, SampleSpec
from ml_assets.training.fit import fit_model, predict
from ml_assets.training.sampling.weights import describe_sample, sample_weights, thinned_rows
from ml_assets.training.spec import TrainingSpec

DROPS = ("2024-01", "2024-02", "2024-03")
HORIZONS = (timedelta(days=1), timedelta(days=7))
ENTITIES = pl.LazyFrame({"shop": ["a", "b"] * 200, "id": range(400), "tier": ["x", "y", "z", "x"] * 100})


def spine(sample: SampleSpec | None, horizons=HORIZONS) -> MadeSpine:
    entities = EntitiesSpec(table="customers", key=["shop", "id"], where="tier <> 'z'", columns=["tier"])
    calendar = CalendarSpec(cron="0 6 * * mon", time_zone="Europe/Paris")
    return MadeSpine(
        "weekly", entities, calendar, Drops(grain="monthly", start="2024-01"), "at", "_drop", horizons, sample
    )


def made(of: MadeSpine, *drops: str, table=ENTITIES):
    with TemporaryDirectory() as folder:
        rows = make_rows(of, table, drops or DROPS, Path(folder))
        return rows, rows.rows.collect()


SAMPLE = SampleSpec(share=0.2, before="2024-03", seed=5)


def test_thinned_drops_hold_what_the_hash_of_entity_and_moment_draws_and_others_are_whole():
    _, whole = made(spine(None))
    rows, found = made(spine(SAMPLE))
    entity = hash_rows(whole.select(pl.lit(5, pl.Int64).alias("seed"), "shop", "id"))
    moment = whole["at"].dt.epoch("us")
    drawn = hash_rows(pl.DataFrame({"entity": pl.Series(entity), "moment": moment})).astype(float) / 2.0**64 < 0.2
    kept = whole.filter((pl.col("_drop") == "2024-03") | pl.Series(drawn))
    assert found.drop(STANDS_FOR).sort("at", "id", HORIZON).equals(kept.sort("at", "id", HORIZON))
    by_drop = dict(found.group_by("_drop").agg(pl.col(STANDS_FOR).unique()).iter_rows())
    assert by_drop == {"2024-01": [5.0], "2024-02": [5.0], "2024-03": [1.0]}
    # Five Mondays in January, four in February; 300 of 400 entities count.
    assert (rows.active_in, rows.moments) == ({"2024-01": 1_500, "2024-02": 1_200}, 13)
    assert rows.by_drop == dict(found.group_by("_drop").len().iter_rows())


@pytest.mark.parametrize("at_work", [1, 900])
def test_rows_are_the_same_however_many_moments_are_looked_at_together(at_work, monkeypatch):
    rows, together = made(spine(SAMPLE))
    monkeypatch.setattr(spines_rows, "_AT_WORK", at_work)
    again, frame = made(spine(SAMPLE))
    assert frame.equals(together)
    assert (again.by_drop, again.active_in, again.moments) == (rows.by_drop, rows.active_in, rows.moments)


def test_every_entity_moment_has_the_same_chance_by_itself():
    _, found = made(spine(SAMPLE, horizons=()), *DROPS[:2])
    size = 2_700
    assert abs(found.height - 0.2 * size) < 4 * np.sqrt(size * 0.2 * 0.8)
    # How often an entity is drawn at nine moments is binomial, and so is how many are drawn at a moment.
    times = np.zeros(300)
    counts = found.group_by("id").len()["len"].to_numpy()
    times[: counts.size] = counts
    assert times.mean() == pytest.approx(1.8, abs=0.3)
    assert times.var() == pytest.approx(9 * 0.2 * 0.8, rel=0.3)
    at_moment = found.group_by("at").len()["len"].cast(pl.Float64).to_numpy()
    assert np.abs(at_moment - 60).max() < 4 * np.sqrt(300 * 0.2 * 0.8)


def test_rows_are_the_same_whenever_and_in_which_order_they_are_made():
    _, together = made(spine(SAMPLE))
    shuffled = ENTITIES.collect().sample(fraction=1, shuffle=True, seed=1).lazy()
    apart = pl.concat([made(spine(SAMPLE), drop, table=shuffled)[1] for drop in reversed(DROPS)])
    by = ["at", "id", HORIZON]
    assert apart.sort(by).equals(together.sort(by))
    _, other = made(spine(SAMPLE.model_copy(update={"seed": 6})), DROPS[0])
    mine = together.filter(pl.col("_drop") == DROPS[0])
    assert not other.sort(by).equals(mine.sort(by))


def test_a_row_is_kept_with_all_its_horizons():
    _, found = made(spine(SAMPLE))
    assert found.group_by("shop", "id", "at").len()["len"].unique().to_list() == [2]


DECLARED = {
    "name": "weekly",
    "entities": {"table": "customers/validated", "key": ["id"]},
    "every": {"cron": "0 6 * * mon"},
    "drops": {"grain": "monthly", "start": "2024-01", "end": "2024-07"},
    "sample": {"share": 0.1, "before": "2024-03"},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample": {"share": 1.0, "before": "2024-03"}}, "1.0 is no share above 0 and below 1"),
        (
            {"sample": {"share": 0.1, "before": "March"}},
            "sample.before: 'March' is no drop of grain monthly: write YYYY-MM",
        ),
        ({"sample": {"share": 0.1}}, "before\n  Field required"),
        ({"entities": {"table": "c", "key": ["stands_for"]}}, "sample: gives the rows a column 'stands_for'"),
        (
            {"entities": None, "every": None, "table": "t", "key": ["id"], "time": "at", "partition": "_drop"},
            "sample: belongs to made rows",
        ),
    ],
)
def test_a_sample_that_cannot_be_drawn_is_one_clear_error(changes, message):
    with pytest.raises(ValidationError, match=message):
        DeclaredSpine.model_validate(DECLARED | changes)


def test_rows_from_before_a_sample_was_declared_stand_for_themselves(tmp_path):
    lake, declared = Lake(str(tmp_path)), DeclaredSpine.model_validate(DECLARED)
    moment = datetime(2024, 1, 1, 6, tzinfo=UTC)
    old = pl.DataFrame({"_drop": ["2024-01"], "id": [1], "prediction_at": [moment]})
    lake.replace("weekly/rows", old, {"_drop": ["2024-01"]})
    assert declared.rows(lake, ["2024-01"], ["id", STANDS_FOR])[STANDS_FOR].to_list() == [1.0]
    new = pl.DataFrame(
        {"_drop": ["2024-02"], "id": [1], "prediction_at": [moment + timedelta(days=35)], STANDS_FOR: 10.0}
    )
    lake.replace("weekly/rows", new, {"_drop": ["2024-02"]})
    found = declared.rows(lake, ["2024-01", "2024-02"], ["id", STANDS_FOR]).sort("_drop")
    assert found[STANDS_FOR].to_list() == [1.0, 10.0]


def learned(seed: int, size: int = 2_000) -> pl.DataFrame:
    """Return rows of which the first half, with four positives in ten, stand for ten each; of the others one is."""
    rng = np.random.default_rng(seed)
    thinned = np.arange(size) < size // 2
    return pl.DataFrame(
        {
            "a": rng.normal(size=size),
            "y": rng.random(size) < np.where(thinned, 0.4, 0.1),
            STANDS_FOR: np.where(thinned, 10.0, 1.0),
        }
    )


ABOUT = {"features": ["a"], "label": "y", "metric": "log_loss", "seed": 0}
LINE = {"kind": "sklearn:sklearn.linear_model.LogisticRegression", "parameters": {"C": 0.001}}


def test_a_row_counts_as_all_that_it_stands_for():
    train, validation = learned(0), learned(1)
    model = fit_model(train, validation, training=TrainingSpec(threads=1), sampled=True, **ABOUT, **LINE)
    assert predict(model, validation).mean() == pytest.approx((10 * 0.4 + 0.1) / 11, abs=0.03)
    named = {STANDS_FOR: "weight"}
    same = fit_model(
        train.rename(named),
        validation.rename(named),
        training=TrainingSpec(threads=1, weight="weight"),
        **ABOUT,
        **LINE,
    )
    assert predict(same, validation.rename(named)).tolist() == predict(model, validation).tolist()
    assert model.history == pytest.approx(same.history)


def test_a_kind_without_weights_takes_rows_that_all_stand_for_as_many():
    near = {"kind": "sklearn:sklearn.neighbors.KNeighborsClassifier", "parameters": {"n_neighbors": 50}}
    thinned = learned(0).filter(pl.col(STANDS_FOR) > 1)
    near |= {"training": TrainingSpec(threads=1), "sampled": True}
    assert fit_model(thinned, learned(1), **ABOUT, **near).negatives_kept == 1
    with pytest.raises(ValueError, match="sample: some training rows stand for many"):
        fit_model(learned(0), learned(1), **ABOUT, **near)


def test_the_card_says_what_training_rows_are_a_sample_of():
    text = describe_sample(thinned_rows(learned(0), sampled=True))
    assert text.startswith("1,000 of its rows are a sample of about 10,000 entity-moments, drawn without regard to")
    assert describe_sample(thinned_rows(learned(0).drop(STANDS_FOR), sampled=True)) == ""
    assert describe_sample(thinned_rows(learned(0).filter(pl.col(STANDS_FOR) == 1), sampled=True)) == ""


def test_a_column_of_that_name_is_no_weight_where_no_sample_is_declared():
    train, validation = learned(0), learned(1)
    named, plain = {STANDS_FOR: "dealers"}, {"training": TrainingSpec(threads=1), **ABOUT, **LINE}
    model = fit_model(train, validation, **plain)
    same = fit_model(train.rename(named), validation.rename(named), **plain)
    assert predict(model, validation).tolist() == predict(same, validation.rename(named)).tolist()
    text = train.with_columns(pl.lit("Paris").alias(STANDS_FOR))
    assert sample_weights(text, sampled=False) is None
    assert thinned_rows(text, sampled=False).is_empty()


@pytest.mark.parametrize("taken", ["seed", "moment", "entity", "share"])
def test_a_key_may_have_any_name(taken):
    named = spine(SAMPLE, horizons=())
    of = replace(named, entities=named.entities.model_copy(update={"key": ["shop", taken]}))
    _, found = made(of, *DROPS[:1], table=ENTITIES.rename({"id": taken}))
    assert found.rename({taken: "id"}).equals(made(named, *DROPS[:1])[1])
