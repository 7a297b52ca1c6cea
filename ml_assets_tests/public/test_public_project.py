"""What is read from Python is what the assets stored, and what there is not is answered by what there is."""

import os
import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import ml_assets
from ml_assets import cli
from ml_assets.code_version import NoProject
from ml_assets.commands.init.project import create_project
from ml_assets.declarations.specs import DeclaredView
from ml_assets.lake import TableMissing
from ml_assets.public.history import ModelReports
from ml_assets.sources.drops.spec import Drops

# The shop is trained, with MLflow.
pytestmark = pytest.mark.slow

PROJECT = Path(ml_assets.__file__).parents[1]
APRIL = "2024-04"
AS_OF = "2024-04-01"


@pytest.fixture(scope="module")
def validated(lived):
    return lived.lake.scan("orders/validated").collect().sort("id")


def test_what_is_declared_is_listed_by_name(shop):
    assert list(shop.models) == ["returns"]
    assert list(shop.views) == ["customer_history", "order"]
    assert (list(shop.sources), list(shop.spines)) == (["orders"], ["orders"])
    assert shop.models["returns"].features == ["order", "customer_history"]
    assert shop.faults == []
    assert repr(shop.views).splitlines() == [
        "2 feature views",
        "  customer_history  shop  What the customer has sent back.",
        "  order             shop  Order.",
    ]
    assert "returns" in repr(shop)
    assert "customer_history" in shop._repr_html_()
    assert "<td>customer_history</td>" in shop.views._repr_html_()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda shop: shop.models["return"], "no model return; did you mean returns?"),
        (lambda shop: shop.model("retruns"), "no model retruns; did you mean returns?"),
        (lambda shop: shop.views["nothing"], "no feature view nothing; there are customer_history, order"),
        (
            lambda shop: shop.features("costumer_history", []),
            "no model or feature view costumer_history; did you mean customer_history?",
        ),
        (lambda shop: shop.table("orders/valdated"), "no table orders/valdated; did you mean orders/validated?"),
        (lambda shop: shop.table("orders"), "no table orders; did you mean orders/validated?"),
        (lambda shop: shop.model("returns", version=7), "no version of model returns 7; there are 1"),
        (
            lambda shop: shop.reports("returns").page("2024-05"),
            "no report of returns on drop 2024-05; did you mean 2024-04?",
        ),
    ],
)
def test_a_name_that_nothing_bears_is_answered_by_those_that_exist(shop, ask, message):
    with pytest.raises(ml_assets.UnknownName) as raised:
        ask(shop)
    assert str(raised.value) == message


def test_a_declared_table_that_was_not_written_yet_is_another_matter(shop):
    with pytest.raises(TableMissing, match=r"table returns/served_predictions is not in the lake at .* yet: mat"):
        shop.table("returns/served_predictions")


def test_a_table_is_read_as_it_is_and_as_it_was(shop, lived):
    newest = lived.lake.version("orders/validated")
    assert shop.table("orders/validated").collect().height == 1210
    before = shop.table("orders/validated", version=newest - 1).collect()
    assert before["_drop"].unique().sort().to_list() == ["2024-01", "2024-02", "2024-03"]
    with pytest.raises(ValueError, match=f"orders/validated has no version 99: there are 0 to {newest}"):
        shop.table("orders/validated", version=99)
    with pytest.raises(ValueError, match="no version -1"):
        shop.table("orders/validated", version=-1)
    assert {"orders/validated", "features/order", "returns/predictions"} <= set(shop.tables)


def test_features_are_those_that_are_stored(shop, validated):
    stored = shop.table("features/customer_history").collect()
    rows = validated.select("id", "customer", "placed_at")
    computed = shop.features("customer_history", rows)
    names = ["returned_mean_28d", "returned_count_28d"]
    assert computed.columns == ["id", "customer", "placed_at", *names]
    assert computed.select(rows.columns).equals(rows)
    both = computed.join(stored, on=["customer", "placed_at"], how="left", suffix="_stored")
    assert both.height == 1210
    for name in names:
        assert both[name].eq_missing(both[f"{name}_stored"]).all(), name


def test_a_text_is_read_as_the_moment_that_a_column_of_the_spine_holds(shop):
    view = DeclaredView(
        name="waited", description="How long it took.", spine="orders", entity=["id"],
        request={"hours": "(EXTRACT(epoch FROM settled_at) - EXTRACT(epoch FROM placed_at)) / 3600"},
    )  # fmt: skip
    row = {"id": 1, "placed_at": "2024-03-10T12:00", "settled_at": "2024-03-10T15:30"}
    assert shop.compute(shop.spines["orders"], [view], pl.DataFrame([row]))["hours"].to_list() == [3.5]


def test_features_of_a_model_are_those_of_all_its_views_at_any_moment(shop, validated):
    at = datetime(2024, 3, 10, 12, tzinfo=UTC)
    row = {"id": 1, "customer": "c3", "amount": 12.5, "placed_at": "2024-03-10T12:00", "mine": "kept"}
    computed = shop.features("returns", row)
    window = validated.filter(
        pl.col("customer") == "c3", pl.col("settled_at") <= at, pl.col("settled_at") > at - timedelta(days=28)
    )
    assert computed.row(0, named=True) == {
        **row,
        "placed_at": at,
        "price": 12.5,
        "returned_mean_28d": window["returned"].mean(),
        "returned_count_28d": window.height,
    }
    assert shop.features(shop.models["returns"], pl.LazyFrame(row)).equals(computed)
    assert shop.features("returns", pl.DataFrame(row).to_pandas()).select("price").equals(computed.select("price"))


def test_rows_that_hold_a_feature_already_or_lack_a_column_are_refused(shop):
    row = {"id": 1, "customer": "c3", "placed_at": "2024-03-10"}
    with pytest.raises(ValueError, match="the rows hold returned_count_28d, which are features to compute"):
        shop.features("customer_history", row | {"returned_count_28d": 1})
    with pytest.raises(ValueError, match=r"the rows lack amount \(feature view order\); they need the columns"):
        shop.features("order", row)
    with pytest.raises(ValueError, match="'soon' must be an ISO date or time"):
        shop.features("customer_history", row | {"placed_at": "soon"})
    with pytest.raises(TypeError, match="rows must be a frame, or dictionaries, not int"):
        shop.features("customer_history", 5)


def test_rows_later_than_what_the_lake_holds_are_warned_of(shop):
    rows = [{"id": i, "customer": "c3", "amount": 1.0, "placed_at": f"2024-05-0{i}T00:00"} for i in (1, 2, 3)]
    words = "2 of 3 rows lie after 2024-05-01 00:00 UTC, the end of the newest drop of orders/validated"
    with pytest.warns(ml_assets.IncompleteFacts, match=words):
        shop.features("customer_history", rows)
    with pytest.warns(ml_assets.IncompleteFacts, match=words):
        shop.model("returns").predict(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shop.features("customer_history", rows[:1])
        shop.features("order", rows)  # what a row says itself


def test_outcomes_are_those_that_are_stored_and_null_where_the_facts_are_not_there_yet(shop, validated):
    stored = shop.table("outcomes/sent_back").collect()
    rows = validated.select("id", "customer", "placed_at")
    computed = shop.outcomes("sent_back", rows)
    names = ["count", "time_to_first", "time_to_first_censored", "sent_back", "sent_back_known_at"]
    assert computed.columns == ["id", "customer", "placed_at", *names]
    both = computed.join(stored, on=["customer", "placed_at"], how="left", suffix="_stored")
    for name in names:
        assert both[name].eq_missing(both[f"{name}_stored"]).all(), name
    known = computed["placed_at"] < datetime(2024, 4, 22, tzinfo=UTC)  # t + 7d + 2d lies in April
    assert computed["sent_back"].is_not_null().equals(known)
    assert 0 < known.sum() < known.len()
    row = rows.row(500, named=True)
    window = validated.filter("returned", customer=row["customer"]).filter(
        pl.col("placed_at") > row["placed_at"], pl.col("placed_at") <= row["placed_at"] + timedelta(days=7)
    )
    assert computed["sent_back"][500] == window.height


def test_an_outcome_has_its_name_and_its_columns(shop):
    assert list(shop.declared_outcomes) == ["sent_back"]
    with pytest.raises(ml_assets.UnknownName, match="no outcome send_back; did you mean sent_back"):
        shop.outcomes("send_back", [])
    with pytest.raises(ValueError, match="the rows hold sent_back, which are computed: drop or rename them first"):
        shop.outcomes("sent_back", {"customer": "c1", "placed_at": "2024-03-01", "sent_back": 1})
    with pytest.raises(ValueError, match="outcome 'sent_back': the rows have no column 'customer'"):
        shop.outcomes("sent_back", {"placed_at": "2024-03-01"})


def test_the_training_set_is_the_stored_one(shop):
    stored = shop.table("returns/training_set").collect()
    built = shop.training_set("returns", as_of=AS_OF)
    key = ["split", "id"]
    assert built.rows.sort(key).equals(stored.drop("_as_of").select(built.rows.columns).sort(key))
    assert built.as_of == datetime(2024, 4, 1, tzinfo=UTC)
    assert built.train.height == stored.filter(pl.col("split") == "train").height
    assert built.features == ["price", "returned_mean_28d", "returned_count_28d"]
    assert built.rows.height + sum(built.left_out.values()) == 910
    assert "holdout" in repr(built)
    assert "holdout" in built._repr_html_()


def test_by_default_a_training_looks_from_the_end_of_the_newest_drop(shop):
    newest = shop.training_set("returns")
    assert newest.as_of == datetime(2024, 5, 1, tzinfo=UTC)
    assert newest.holdout["placed_at"].min() == datetime(2024, 4, 15, tzinfo=UTC)


def test_predictions_are_those_that_are_stored(shop, validated):
    model = shop.model("returns")
    stored = shop.table("returns/predictions").sort("id").collect()
    april = validated.filter(pl.col("_drop") == APRIL)
    predicted = model.predict(april.select(model.columns))
    assert predicted.columns == [*model.columns, "score", "prediction"]
    assert predicted["id"].equals(stored["id"])
    assert predicted["score"].equals(stored["score"])
    assert predicted["prediction"].equals(stored["prediction"])


def test_rows_with_their_features_are_predicted_alike(shop):
    model, holdout = shop.model("returns", version=1), shop.training_set("returns", as_of=AS_OF).holdout
    reference = shop.table("returns/reference").sort("id").collect()
    assert model.predict(holdout.sort("id"), featured=True)["score"].equals(reference["score"])
    with pytest.raises(ValueError, match="version 1 of returns cannot predict these rows: feature price is not there"):
        model.predict(holdout.drop("price"), featured=True)


def test_a_model_names_its_version_role_and_columns(shop):
    model = shop.model("returns")
    assert (model.name, model.version, model.role) == ("returns", "1", "champion")
    assert repr(model) == "<returns version 1, champion, trained as of 2024-04-01>"
    assert model.feature_names == ["price", "returned_mean_28d", "returned_count_28d"]
    assert set(model.columns) == {"placed_at", "id", "amount", "customer"}
    assert "champion" in model._repr_html_()


def test_contributions_add_up_to_the_log_odds_of_the_score(shop):
    model, holdout = shop.model("returns"), shop.training_set("returns", as_of=AS_OF).holdout
    explained = model.explain(holdout, featured=True)
    assert explained.columns == ["row", "base", *model.feature_names]
    assert explained["row"].to_list() == list(range(holdout.height))
    score = model.predict(holdout, featured=True)["score"].to_numpy()
    margin = explained.drop("row").sum_horizontal().to_numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), score, rtol=1e-4)


def test_the_card_holds_what_was_measured_and_where_the_version_comes_from(shop, lived):
    card = shop.model("returns").card()
    evaluation = shop.table("returns/evaluation").collect()
    own = {row["metric"]: row for row in evaluation.filter(subject="model").iter_rows(named=True)}
    assert {m.metric: (m.model.value, m.model.low, m.model.high) for m in card.metrics} == {
        name: (row["value"], row["low"], row["high"]) for name, row in own.items()
    }
    assert (card.version, card.role, card.owners, card.label) == ("1", "champion", ("team:shop",), "returned")
    stored = shop.table("returns/training_set").collect()
    assert {part.part: part.rows for part in card.data} == dict(stored.group_by("split").len().iter_rows())
    assert {measured.subject for measured in card.slices} == {f"customer=c{n}" for n in range(7)}
    assert sum(measured.rows for measured in card.slices) == next(p.rows for p in card.data if p.part == "holdout")
    assert abs(sum(feature.share for feature in card.importance) - 1) < 1e-9
    assert {f.feature: f.description for f in card.importance}["price"] == "amount, of the row to predict."
    assert {f.feature: f.missing for f in card.features} == {
        name: stored[name].null_count() / stored.height for name in shop.model("returns").feature_names
    }
    assert {f.feature: f.view for f in card.features}["returned_mean_28d"] == "customer_history"
    watched = [(drop.drop, drop.kind, drop.metric, drop.value, drop.alert) for drop in card.drops]
    assert watched == [(APRIL, "estimated", "roc_auc", 0.9, False), (APRIL, "realised", "roc_auc", 0.9, False)]
    assert [(d.decision, d.by, bool(d.evidence)) for d in card.decisions] == [("promoted", None, True)]
    origin = card.provenance
    assert origin.table_versions["orders/validated"] == lived.lake.version("orders/validated")
    assert (origin.code_commit, origin.code_changed, origin.platform) == ("3f2a", True, "0.1.0")
    assert origin.run_id == lived.registry.champion("returns").run_id
    assert (card.decision.decision, card.decision.rule) == ("promoted", "first_champion")
    assert any("Measured on fewer than 100 rows" in limit and "customer=c0" in limit for limit in card.limits)
    assert any("Scores are not calibrated" in limit for limit in card.limits)
    assert "In drop 2024-04 price has drifted from the reference (PSI)." in card.limits


def test_the_card_is_a_document(shop):
    card = shop.model("returns").card()
    text = card.to_markdown()
    assert text == card._repr_markdown_()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# returns, version 1", "## Purpose", "## Data", "## Features", "## Design", "## Metrics", "## Slices",
        "## Scores", "## Fairness", "## Known limits", "## Risks", "## Human oversight",
        "## Robustness and cybersecurity", "## Monitoring", "## Decisions",
        "## Standards and declaration of conformity", "## How to reproduce it", "## Annex IV, point by point",
    ]  # fmt: skip
    assert "| roc_auc (more is better) |" in text
    assert "returned_mean_28d" in text
    page = card.to_html()
    assert page.startswith("<!DOCTYPE html>")
    assert "returned_mean_28d" in page
    assert type(card).model_validate_json(card.model_dump_json()) == card


def run_command(lived, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(lived.home))
        return CliRunner().invoke(cli.app, ["--project", str(lived.folder), *arguments])


def test_the_command_line_writes_the_same_card_in_each_format(shop, lived, tmp_path):
    card = shop.model("returns").card()
    assert run_command(lived, "card", "returns").stdout == card.to_markdown()
    stored = tmp_path / "card.html"
    done = run_command(lived, "card", "returns", "--version", "1", "--format", "html", "--output", str(stored))
    assert (done.exit_code, stored.read_text(encoding="utf-8")) == (0, card.to_html())
    assert type(card).model_validate_json(run_command(lived, "card", "returns", "--format", "json").stdout) == card


@pytest.mark.parametrize("command", ["approve", "refuse"])
def test_what_does_not_wait_is_neither_approved_nor_refused(lived, command):
    done = run_command(lived, command, "returns", "1", "--by", "Ann")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "version 1 of returns does not wait for approval; the last decision on it: Version 1 keeps" in done.stderr


def test_decisions_come_with_their_evidence_in_the_order_of_time(shop):
    decisions = shop.decisions("returns")
    assert [(r.challenger, r.promote) for r in decisions.promotions] == [("1", True)]
    assert [(r.drop, r.retrain) for r in decisions.retraining] == [(APRIL, False)]
    assert [e.kind for e in decisions.retraining[0].evidence] == ["gate"]
    assert decisions.table.select("about", "decision").rows() == [("champion", "promote"), (f"drop {APRIL}", "wait")]
    assert decisions.table["as_of"].to_list() == [datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)]
    assert "first_champion" in repr(decisions)


def test_reports_are_the_stored_tables_and_their_pages(shop):
    reports = shop.reports("returns")
    assert reports.performance.equals(shop.table("returns/performance_report").collect())
    assert reports.drift.equals(shop.table("returns/drift_report").collect())
    assert list(reports.pages) == [APRIL]
    assert "<html" in reports.page(APRIL)
    assert reports.periods["kind"].to_list() == ["estimated", "realised"]


def test_reports_as_of_a_moment_are_those_that_were_known_then(shop):
    def realised(value, moment):
        about = {"_drop": APRIL, "scope": "period", "kind": "realised", "metric": "roc_auc"}
        return about | {"value": value, "measured_at": moment}

    first, later = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    report = pl.DataFrame([realised(0.6, first), realised(0.8, later)])
    measured = ModelReports("returns", pl.DataFrame({"_drop": [APRIL], "value": [0.1]}), report, {APRIL: "page"})
    monthly = Drops(grain="monthly", start="2024-01")
    for moment, known in ((first, [0.6]), (datetime(2024, 5, 31, tzinfo=UTC), [0.6]), (later, [0.8])):
        then = measured.as_known(moment, "_drop", monthly)
        assert (then.periods["value"].to_list(), then.drift.height, list(then.pages)) == (known, 1, [APRIL])
    before = measured.as_known(datetime(2024, 4, 30, tzinfo=UTC), "_drop", monthly)
    assert (before.periods.height, before.drift.height, before.pages) == (0, 0, {})
    assert shop.reports("returns", as_of="2024-05-01").performance.height == 3
    assert shop.reports("returns", as_of="2024-04-30").performance.height == 0


def test_a_project_in_which_nothing_has_run_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    create_project(tmp_path / "village_bakery", "digits")
    project = ml_assets.open_project(tmp_path / "village_bakery")
    assert (list(project.models), project.tables) == (["digit"], [])
    assert list(project.views) == ["blocks", "ink"]
    with pytest.raises(TableMissing, match="digits/validated is not in the lake"):
        project.table("digits/validated")
    with pytest.raises(LookupError, match=r"no version of model digit is its champion: .* none is trained yet"):
        project.model("digit")
    assert project.decisions("digit").table.is_empty()
    assert project.reports("digit").pages == {}
    assert not (tmp_path / "home").exists()


def test_a_wrong_declaration_hides_no_other_and_is_named_where_it_may_be_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    create_project(tmp_path / "harbour_bakery", "digits")
    wrong = tmp_path / "harbour_bakery/harbour_bakery/defs/wrong"
    wrong.mkdir()
    (wrong / "defs.yaml").write_text("type: ml_assets.Spine\nattributes: {name: loaves}\n")
    project = ml_assets.open_project(tmp_path / "harbour_bakery")
    assert list(project.spines) == ["scans"]
    assert project.faults[0].startswith("harbour_bakery/defs/wrong/defs.yaml:2: ")
    assert "cannot be read, see faults" in repr(project)
    with pytest.raises(
        ml_assets.UnknownName, match="no spine loaves; there are scans; what could not be read: harbour_bakery/"
    ):
        project.spines["loaves"]


def test_outside_of_any_project_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("ML_ASSETS_PROJECT", raising=False)
    with pytest.raises(NoProject, match=r"no project in .*: `ml-assets init NAME` begins one"):
        ml_assets.open_project(tmp_path)


OPEN = """
import sys
import ml_assets
assert not [name for name in sys.modules if name.startswith("ml_assets.")], "import ml_assets loads more than itself"
project = ml_assets.open_project()
project.models, project.tables
print([name for name in ("dagster", "mlflow", "pandera", "matplotlib", "optuna", "nannyml") if name in sys.modules])
"""


def test_opening_the_shipped_project_loads_neither_dagster_nor_another_heavy_library(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ML_ASSETS")}
    done = subprocess.run(
        [sys.executable, "-c", OPEN], cwd=PROJECT, env={**kept, "ML_ASSETS_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_guide_does_what_it_shows(lived, shop, monkeypatch, capsys):
    monkeypatch.setenv("ML_ASSETS_HOME", str(lived.home))
    monkeypatch.delenv("ML_ASSETS_PROJECT", raising=False)
    monkeypatch.chdir(lived.folder)
    names: dict = {}
    blocks = BLOCK.findall((PROJECT / "docs/from-python.md").read_text())
    for block in blocks:
        exec(compile(block, "from-python.md", "exec"), names)
    assert len(blocks) == 7
    assert capsys.readouterr().out == shop.model("returns").card().to_markdown() + "\n"
    assert names["earlier"].collect().height < names["orders"].collect().height
    assert names["features"].height == 2
    assert names["predictions"]["score"].is_between(0, 1).all()
    assert "April" in names["html"]
    assert names["came_of"]["sent_back"].null_count() == 0
