"""The guide to labels that come late, executed as it stands, and one month more as the daemon would live it."""

import json
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.automation.execute import Runner
from ml_assets.automation.jobs import drop_job
from ml_assets.automation.lifecycle import PlannedRun
from ml_assets.declarations.coherence.models import gap_problems
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.project import load_current
from ml_assets.public.opening import open_project
from ml_assets.retraining.decide import read_decisions
from ml_assets.settings import read_settings
from ml_assets_tests.docs.guide import Guide

PROJECT = Path(__file__).parents[2]
GUIDE = Guide(PROJECT / "docs/labels-that-come-late.md", PROJECT)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JULY, AUGUST, SEPTEMBER, OCTOBER = "2024-07", "2024-08", "2024-09", "2024-10"
KNOWN_AFTER = timedelta(days=74)
PERIOD = {"kind": "realised", "scope": "period", "metric": "roc_auc"}


def first_of(month: int) -> datetime:
    return datetime(2024, month, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which every command of the guide was given, what each printed, and what its Python made then."""
    folder, printed = GUIDE.follow(tmp_path_factory.mktemp("cards"), forked=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("ML_ASSETS_HOME", raising=False)
        return folder, printed, GUIDE.execute()


@pytest.fixture(scope="module")
def truth(followed):
    """Every payment: the chance that no model sees, and what came of it within sixty days."""
    made = runpy.run_path(str(followed[0] / "make_data.py"))
    payments = made["make_payments"]()
    back = payments.join(made["make_chargebacks"](payments), on="payment", how="left")
    in_time = (pl.col("opened_at") - pl.col("paid_at") <= timedelta(days=60)).fill_null(False)
    return back.select(
        "payment", "paid_at", "chance", charged_back=in_time, drop=pl.col("paid_at").dt.strftime("%Y-%m")
    )


@pytest.fixture(scope="module")
def october(followed):
    """October as it comes in: the payments first; then, when they have been measured, the bank's file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(followed[0])
        patch.syspath_prepend(followed[0])
        for name in ("ML_ASSETS_HOME", "DAGSTER_HOME"):
            patch.setenv(name, str(followed[0] / ".ml_assets"))
        Home.of(read_settings()).prepare()
        load_current.cache_clear()
        with dg.DagsterInstance.get() as instance:
            lived = October(load_current(), instance, Lake(str(followed[0] / ".ml_assets/lake")))
            lived.live()
            yield lived
        load_current.cache_clear()


class October:
    """Dagster at work on the month: runs of its drop, and what the sensor asks for between them."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, lake: Lake) -> None:
        self.definitions, self.instance, self.lake = definitions, instance, lake
        self.cursor: str | None = None
        self.asked: list[list[dg.RunRequest]] = []
        self.known: list[pl.DataFrame] = []

    def live(self) -> None:
        every = self.definitions.resolve_job_def(drop_job("cards")).asset_layer.selected_asset_keys
        keys = {key.to_user_string() for key in every}
        bank = {key for key in keys if key.startswith("chargebacks/")}
        self.run(keys - bank)
        self.look()
        self.look()
        self.run(bank | {"outcomes/charged_back"})
        self.look()
        self.run({key.to_user_string() for key in self.asked[-1][0].asset_selection})
        self.look()

    def run(self, assets: set[str]) -> None:
        planned = PlannedRun("October", drop_job("cards"), (OCTOBER,), assets=tuple(assets))
        Runner(self.definitions, self.instance).run(planned, " ".join(sorted(assets)), lambda _: None)
        self.known.append(self.lake.scan("chargeback/performance_report").collect())

    def look(self) -> None:
        resources = {name: self.definitions.resources[name] for name in ("lake", "registry")}
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, resources=resources)
        answer = self.definitions.resolve_sensor_def("cards_labels")(context)
        assert isinstance(answer, dg.SensorResult)
        self.cursor = answer.cursor
        self.asked.append(list(answer.run_requests or ()))


def measured(report: pl.DataFrame, drop: str) -> list[tuple[datetime, int, int]]:
    """When a drop was measured, and how many labels were known and missing."""
    rows = report.filter(**PERIOD, _drop=drop).sort("measured_at")
    return rows.select("measured_at", "rows", "missing").rows()


def test_a_month_grows_from_unknown_to_complete_as_labels_come(october):
    report = october.known[-1]
    assert measured(report, JULY) == [(first_of(8), 0, 310), (first_of(10), 180, 130), (first_of(11), 310, 0)]
    assert measured(report, AUGUST) == [(first_of(9), 0, 310), (first_of(11), 180, 130)]
    assert measured(report, SEPTEMBER) == [(first_of(10), 0, 300)]
    assert measured(report, OCTOBER) == [(first_of(11), 0, 310)]


def test_each_measure_is_that_of_the_labels_known_then(october, truth):
    scored = october.lake.scan("chargeback/predictions").select("payment", "score").collect()
    both = truth.join(scored, on="payment", validate="1:1")
    values = october.known[-1].filter(**PERIOD)
    assert values["value"].count() == 3
    for drop, moment, value in values.drop_nulls("value").select("_drop", "measured_at", "value").iter_rows():
        # What is due at the very end of a month may still hang on a fact of that moment.
        known = both.filter(pl.col("paid_at") < moment - KNOWN_AFTER, drop=drop)
        assert value == pytest.approx(roc_auc_score(known["charged_back"].to_numpy(), known["score"].to_numpy()))


def test_the_scores_are_nearly_as_good_as_the_chance_that_the_data_were_made_with(october, truth):
    scored = october.lake.scan("chargeback/predictions").select("payment", "score").collect()
    july = truth.join(scored, on="payment").filter(drop=JULY)
    ours, best = (roc_auc_score(july["charged_back"].to_numpy(), july[name].to_numpy()) for name in ("score", "chance"))
    assert best > 0.75
    assert ours > best - 0.1


def test_nothing_that_was_measured_before_is_overwritten(october):
    order = ["_drop", "measured_at", "kind", "scope", "metric", "chunk_start"]
    for earlier, later in zip(october.known, october.known[1:], strict=False):
        # The month of a run is measured anew, as of its end: its estimate has learnt from what was known only then.
        before = earlier.filter(pl.col("_drop") < OCTOBER).sort(order)
        kept = later.join(before, on=order, how="semi", nulls_equal=True).sort(order)
        assert kept.equals(before)


def test_labels_that_come_alone_are_asked_for_once_for_all_months_together(october):
    before, again, found, after = october.asked
    assert before == again == after == []
    (request,) = found
    assert request.partition_key == OCTOBER
    wanted = {key.to_user_string() for key in request.asset_selection}
    assert wanted == {"chargeback/performance_report", "chargeback/retrain_decision"}
    without, with_file = october.known[0], october.known[-1]
    assert [moment for moment, *_ in measured(without, JULY)] == [first_of(8), first_of(10)]
    assert measured(with_file, JULY)[-1] == (first_of(11), 310, 0)


def test_a_decision_names_the_chunks_that_have_matured_and_the_lag(october):
    decided = {record.drop: record for record in read_decisions(october.lake, "chargeback")}
    sources = {
        drop: next(each for each in record.evidence if each.kind == "realised") for drop, record in decided.items()
    }
    assert sources[SEPTEMBER].observed is None
    assert "no chunk has matured: 3 chunks since 2024-07-01" in sources[SEPTEMBER].source
    (july,) = october.known[-1].filter(**PERIOD, _drop=JULY, known_share=1.0)["value"]
    assert sources[OCTOBER].observed == pytest.approx(july)
    assert sources[OCTOBER].chunks == 1
    assert "matured until 2024-08-01" in sources[OCTOBER].source
    assert "3 chunks since 2024-08-01 have not (0% to 58% of their labels known" in sources[OCTOBER].source


def test_what_was_known_at_each_moment_can_be_read_as_the_guide_reads_it(followed):
    names = followed[2]
    july, then = names["july"].sort("measured_at"), names["known_then"]
    assert july["measured_at"].to_list() == [first_of(8), first_of(10)]
    assert july["known_share"].to_list() == [0, pytest.approx(180 / 310)]
    assert then.select("_drop", "value").rows() == [(JULY, None), (AUGUST, None)]
    assert "no chunk has matured" in names["realised"].source
    (drop, *_) = json.loads(followed[1]["ml-assets summary cards --json"])["chargeback"]["drops"]
    assert (drop["drop"], drop["missing_labels"], drop["realised"]) == (JULY, 130, pytest.approx(july["value"][1]))


def test_the_gap_that_the_guide_calls_too_short_is_refused_in_these_words(followed):
    project = open_project(followed[0])
    model, outcome = project.models["chargeback"], project.declared_outcomes["charged_back"]
    short = model.model_copy(update={"split": model.split.model_copy(update={"gap": "7d"})})
    spine = project.spines["payments"]
    assert list(gap_problems(model, spine, outcome)) == []
    (problem,) = gap_problems(short, spine, outcome)
    assert problem in GUIDE.blocks("text")[0]
