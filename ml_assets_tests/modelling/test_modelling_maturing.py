"""A stream in daily drops whose labels come within 60 days: what was known of each drop at each moment."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.maturing import LabelledDrops, drops_with_new_labels, newest_of, read_report
from ml_assets.modelling.performance.measure import measure_performance, store_measures
from ml_assets.modelling.records import AS_OF, TrainedVersion, write_record
from ml_assets.modelling.retraining import add_new_decisions, decide_on_drop, metric_of_reference
from ml_assets.monitoring.chunks import CHUNK, cut
from ml_assets.monitoring.performance import watch
from ml_assets.monitoring.performance.table import chunk_spans, performance_table
from ml_assets.retraining.decide import DecisionRecord, read_decisions
from ml_assets.training.metrics.payoff import Payoff

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS, A_DAY = 80, 40
DROPS = {"grain": "daily", "start": "2024-01-01"}
NAMES = [f"{START + n * DAY:%Y-%m-%d}" for n in range(DAYS)]
LABELS = {"complete": 0.95, "matured": 0.8, "until": "90d"}


def stream() -> pl.DataFrame:
    """Forty rows a day. Bad ones are found out late, and all labels come with a file that arrives every twelfth day; of
    every fortieth row nothing is ever heard."""
    random = np.random.default_rng(11)
    at = [START + day * DAY + timedelta(minutes=30 * i) for day in range(DAYS) for i in range(A_DAY)]
    size = random.normal(size=len(at))
    bad = random.random(len(at)) < 1 / (1 + np.exp(1 - 2 * size))
    days = np.where(bad, random.uniform(20, 60, len(at)), random.uniform(1, 40, len(at)))
    found = [
        START + np.ceil(((moment - START) / DAY + late) / 12) * 12 * DAY for moment, late in zip(at, days, strict=True)
    ]
    rows = pl.DataFrame({"id": np.arange(len(at)), "at": at, "size": size, "bad": bad, "found_at": found})
    rows = rows.with_columns(
        pl.col("at", "found_at").dt.cast_time_unit("us"), drop=pl.col("at").dt.strftime("%Y-%m-%d")
    )
    never = pl.col("id") % 40 == 7
    return rows.with_columns(pl.when(~never).then("bad"), pl.when(~never).then("found_at"))


STREAM = stream()


def scored(rows: pl.DataFrame) -> pl.DataFrame:
    score = 1 / (1 + (1 - 2 * pl.col("size")).exp())
    return rows.with_columns(score=score, prediction=score > 0.5, model_version=pl.lit("1"))


def context() -> ModelContext:
    keyed = {"key": ["id"], "time": "at", "partition": "drop", "columns": ["size"]}
    spine = DeclaredSpine.model_validate({"name": "rows", "table": "rows", "drops": DROPS, **keyed})
    model = DeclaredModel(
        name="fraud", description="Whether it is fraud.", spine="rows", features=["none"],
        split={"validation": "10d", "holdout": "10d", "gap": "60d"},
        label={"column": "bad", "known_at": "found_at"},
        monitoring={"chunk": "1d", "min_chunk_rows": 20, "earlier_drops": 0, "labels": LABELS},
        retraining={"resamples": 100, "evidence": []},
    )  # fmt: skip
    return ModelContext.of(model, spine, [], "shop")


@dataclass
class World:
    """A lake with what was predicted, measured drop by drop as the assets do it."""

    lake: Lake
    model: ModelContext
    registry: object
    made: list[tuple[str, datetime]]

    def measure(self, *drops: str) -> None:
        measured = measure_performance(self.lake, self.registry, self.model, drops)
        self.made += sorted(measured.made)
        store_measures(self.lake, self.model, measured)

    def report(self, as_of: datetime | None = None) -> pl.DataFrame:
        return newest_of(read_report(self.lake, self.model), self.model, as_of)

    def of_period(self, drop: str, as_of: datetime | None = None) -> dict:
        wanted = {"drop": drop, "kind": "realised", "scope": "period", "metric": "roc_auc"}
        return self.report(as_of).filter(**wanted).row(0, named=True)


def end_of(drop: str) -> datetime:
    return datetime.fromisoformat(drop).replace(tzinfo=UTC) + DAY


def cheap_estimate(_, analysis, *, spec, time, **__) -> pl.DataFrame:
    """Half a share above chance: what estimates is not looked at here."""
    chunks, numbered = cut(analysis, time, spec.chunk)
    values = pl.DataFrame(
        {CHUNK: [*range(len(chunks.edges) - 1), None], "metric": "roc_auc", "value": 0.75},
        schema_overrides={CHUNK: pl.Int64},
    ).with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("lower", "upper", "margin"))
    values = values.with_columns(past_errors=pl.lit(0, pl.Int64))
    return performance_table(values, chunk_spans(chunks, numbered, numbered.schema[time]), "estimated", spec)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Eighty days, each measured when it had ended."""
    lake, model = Lake(str(tmp_path_factory.mktemp("lake"))), context()
    lake.replace("rows", STREAM, {"drop": NAMES})
    predicted = scored(STREAM).select("drop", "id", "at", "score", "prediction", "model_version")
    lake.replace("fraud/predictions", predicted, {"drop": NAMES})
    before = STREAM.head(400).with_columns(pl.col("at") - 30 * DAY, bad=pl.col("id") % 2 == 0)
    reference = scored(before).with_columns(pl.lit("2024-01-01").alias(AS_OF))
    lake.replace("fraud/reference", reference.with_columns(pl.col("prediction")))
    record = TrainedVersion(
        model="fraud", version="1", run_id="r", as_of=START.isoformat(), training_set_version=0, trees=1
    )
    write_record(lake, "fraud/model", START.isoformat(), record, "1")
    registry = SimpleNamespace(inputs=lambda *_: None, rolled_back_at=lambda _: None)
    world = World(lake, model, registry, [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "estimate_performance", cheap_estimate)
        for first in range(0, DAYS, 16):
            world.measure(*NAMES[first : first + 16])
        yield world


FOUND = dict(STREAM.group_by("drop").agg("found_at").iter_rows())


def known(drop: str, moment: datetime) -> int:
    return sum(at is not None and at <= moment for at in FOUND[drop])


def by_hand(drop: str, moment: datetime) -> list[tuple[datetime, int]]:
    """When a drop is measured until a moment, and the labels that were known then: row by row, day by day."""
    day = end_of(drop)
    measured = [(day, known(drop, day))]
    while (day := day + DAY) <= moment and measured[-1][1] < 0.95 * A_DAY:
        labels = known(drop, day)
        if labels > measured[-1][1]:
            measured.append((day, labels))
    return measured


@pytest.mark.parametrize("day", [9, 31, 46, 61, 80])
def test_what_was_known_at_a_moment_is_what_a_recomputation_row_by_row_finds(world, day):
    moment = START + day * DAY
    shown = world.report(moment).filter(kind="realised", scope="period", metric="roc_auc").sort("drop")
    assert shown["drop"].to_list() == NAMES[:day]
    predicted = scored(STREAM)
    for row in shown.iter_rows(named=True):
        measured_at, labels = by_hand(row["drop"], moment)[-1]
        assert (row["measured_at"], row["rows"], row["missing"]) == (measured_at, labels, A_DAY - labels)
        rows = predicted.filter(pl.col("found_at") <= measured_at, drop=row["drop"])
        if rows["bad"].n_unique() < 2:
            assert row["value"] is None
        else:
            assert row["value"] == pytest.approx(roc_auc_score(rows["bad"], rows["score"]))


def test_performance_grows_from_unknown_to_complete_and_nothing_is_overwritten(world):
    measures = read_report(world.lake, world.model).filter(drop=NAMES[0], kind="realised", scope="period")
    shares = measures.filter(metric="roc_auc").sort("measured_at")["known_share"].to_list()
    assert shares[0] == 0.0
    assert shares == sorted(set(shares))
    assert shares[-1] >= 0.95 > shares[-2]
    assert world.of_period(NAMES[0], end_of(NAMES[0]))["value"] is None


def test_nothing_is_measured_twice_without_new_labels(world):
    assert len(world.made) == len(set(world.made))
    expected = {(drop, moment) for drop in NAMES for moment, _ in by_hand(drop, end_of(NAMES[-1]))}
    assert set(world.made) == expected
    labelled = LabelledDrops(world.lake, world.registry, world.model)
    assert drops_with_new_labels(read_report(world.lake, world.model), labelled, end_of(NAMES[-1])) == {}


def test_rows_whose_labels_came_first_are_no_fair_sample(world):
    early = world.report(START + 46 * DAY).filter(kind="realised", scope="period", metric="roc_auc").head(20)
    waiting = early.filter(pl.col("known_share").is_between(0.2, 0.8))
    assert waiting.height > 5
    assert waiting["known_mean_score"].mean() < waiting["unknown_mean_score"].mean()  # what is bad is found out late


def test_the_same_drop_measured_again_changes_nothing(world):
    before = read_report(world.lake, world.model)
    world.measure(NAMES[30])
    after = read_report(world.lake, world.model)
    order = ["drop", "measured_at", "kind", "scope", "metric", "chunk_start"]
    assert after.select(before.columns).sort(order).equals(before.sort(order))


def decided(world: World, model: ModelContext) -> DecisionRecord:
    """The decision on the last day, which no feature is looked at for."""
    drift = pl.DataFrame(schema={
        "chunk_start": pl.Datetime("us", "UTC"), "chunk_end": pl.Datetime("us", "UTC"), "rows": pl.Int64,
        "scope": pl.String, "feature": pl.String, "method": pl.String, "value": pl.Float64, "threshold": pl.Float64,
        "alert": pl.Boolean, "drop": pl.String, "model_version": pl.String,
    })  # fmt: skip
    world.lake.replace("fraud/drift_report", drift)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_assets.retraining.limits._resample_drift_share", lambda *_: np.zeros(1))
        return decide_on_drop(world.lake, world.registry, model, NAMES[-1], [])


def test_evidence_names_matured_chunks_only_and_the_estimate_stands_for_the_time_since(world):
    moment, decision = end_of(NAMES[-1]), decided(world, world.model)
    realised, estimated = (next(e for e in decision.evidence if e.kind == kind) for kind in ("realised", "estimated"))
    ripe = [drop for drop in NAMES if by_hand(drop, moment)[-1][1] >= 0.8 * A_DAY]
    newest = max(ripe)
    assert NAMES.index(newest) < DAYS - 20
    assert realised.chunks == 3
    assert realised.observed == pytest.approx(world.of_period(newest)["value"])
    assert f"matured until {end_of(newest):%Y-%m-%d}" in realised.source
    assert f"{DAYS - 1 - NAMES.index(newest)} chunks since {end_of(newest):%Y-%m-%d} have not" in realised.source
    assert (estimated.observed, estimated.chunks) == (0.75, 3)
    add_new_decisions(world.lake, world.model, [decision, decision])
    assert [record.id for record in read_decisions(world.lake, "fraud")] == [decision.id]


def test_a_version_from_before_there_were_payoffs_is_judged_by_the_metric_of_the_search(world):
    payoff = Payoff(true_positive="saved", false_positive=-1.0, false_negative=0.0)
    evaluation = world.model.spec.evaluation.model_copy(update={"watched": "value"})
    spec = world.model.spec.model_copy(update={"payoff": payoff, "evaluation": evaluation})
    now, before = (decided(world, model) for model in (replace(world.model, spec=spec), world.model))
    realised, plain = (next(e for e in record.evidence if e.kind == "realised") for record in (now, before))
    why = "roc_auc decides instead of value, as the version's reference is from before its payoffs were there (saved)"
    assert why in realised.source
    assert "instead" not in plain.source
    fields = {"unit", "observed", "threshold", "breached", "chunks"}
    assert realised.model_dump(include=fields) == plain.model_dump(include=fields)
    assert now.retrain == before.retrain


def test_payoffs_that_a_reference_has_let_the_watched_metric_decide(world):
    payoff = Payoff(true_positive="saved", false_positive=-1.0, false_negative=0.0)
    evaluation = world.model.spec.evaluation.model_copy(update={"watched": "value"})
    spec = world.model.spec.model_copy(update={"payoff": payoff, "evaluation": evaluation})
    paid = pl.DataFrame({"bad": [True, False, None], "saved": [1.0, 2.0, None]})
    assert metric_of_reference(spec, paid) == ("value", "")  # nothing is measured of a row without a label
    for lacking in (paid.drop("saved"), paid.with_columns(saved=pl.when(pl.col("saved") != 2).then("saved"))):
        assert metric_of_reference(spec, lacking)[0] == "roc_auc"


def test_labels_that_come_alone_are_found_once_for_all_drops_together(world):
    """A corrected delivery: the rows of which nothing was heard are known after all, by the end of the newest drop."""
    moment = end_of(NAMES[-1])
    waiting = NAMES[60:]
    late = pl.col("drop").is_in(waiting) & pl.col("found_at").is_null()
    corrected = STREAM.with_columns(
        found_at=pl.when(late).then(pl.lit(moment)).otherwise("found_at").cast(pl.Datetime("us", "UTC")),
        bad=pl.when(late).then(pl.lit(True)).otherwise("bad"),
    )
    world.lake.replace("rows", corrected, {"drop": NAMES})
    labelled = LabelledDrops(world.lake, world.registry, world.model)
    earlier = read_report(world.lake, world.model).filter(pl.col("drop") < NAMES[-1])
    found = drops_with_new_labels(earlier, labelled, moment)
    assert sorted(found) == waiting[:-1]
    versions, before = world.lake.version("fraud/performance_report"), len(world.made)
    world.measure(NAMES[-1])
    assert world.lake.version("fraud/performance_report") == versions + 1  # all in one commit
    assert world.made[before:] == sorted((drop, moment) for drop in waiting)
    assert drops_with_new_labels(read_report(world.lake, world.model), labelled, moment) == {}
    assert world.of_period(waiting[0])["rows"] == found[waiting[0]]
    assert world.of_period(waiting[0], moment - DAY)["rows"] == by_hand(waiting[0], moment - DAY)[-1][1]
