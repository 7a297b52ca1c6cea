"""The pages of one model: its life, one of its drops, and its versions side by side."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.console.pages.model.charts import life_chart
from ml_assets.console.pages.model.history import DropFacts, ModelEvent
from ml_assets.console.pages.model.read import history_of, read_drop, read_model_page
from ml_assets.console.pages.model.versions import compare_versions
from ml_assets.lake import Lake
from ml_assets.modelling.records import TrainedVersion, replace_as_of, write_record
from ml_assets.public.unknown import UnknownName
from ml_assets.training.search.search import TunedParameters

from .conftest import HOSTILE, open_stores_over
from .fleet import FEATURES, START, make_fleet, realised

DROPS = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    lake = Lake(str(tmp_path_factory.mktemp("fleet")))
    return lake, make_fleet(lake, models=8, drops=DROPS)


@pytest.fixture(scope="module")
def stores(made):
    lake, fleet = made
    return open_stores_over(lake, *fleet.declared, now=fleet.now)


def test_the_life_of_a_model_has_every_drop_with_what_the_lake_holds_of_it(stores, made):
    lake, fleet = made
    history = history_of(stores, "model_003")
    assert [each.drop for each in history.drops] == fleet.drops
    assert [each.realised.value for each in history.drops] == pytest.approx(realised("performance", DROPS))
    assert [each.at for each in history.drops] == [START + timedelta(days=day) for day in range(DROPS)]
    assert {each.rows for each in history.drops} == {2000}
    drift = lake.scan("model_003/drift_report").collect()
    most = drift.group_by("_drop").agg(pl.col("value").max()).sort("_drop")["value"].to_list()
    assert [each.drift.value for each in history.drops] == most
    assert history.drops[-1].decision.rule == "realised"


def test_events_are_in_the_order_of_their_moments_and_lead_to_their_evidence(stores):
    events = history_of(stores, "model_003").events
    assert [(event.kind, event.path) for event in events] == [
        ("retrain", f"/decisions/performance{DROPS - 1}"),
        ("promotion", "/decisions/p2"),
        ("promotion", "/decisions/p1"),
    ]
    assert history_of(stores, "model_001").events[0].kind == "gate"
    assert history_of(stores, "model_002").events[-1].kind in ("alert", "promotion")
    assert "alert" in {event.kind for event in history_of(stores, "model_002").events}
    assert history_of(stores, "model_006").events[0].kind == "kept"


def test_a_page_shows_the_last_drops_and_what_happened_since(stores):
    page = read_model_page(stores, "model_000", 2)
    assert ([each.drop for each in page.drops], page.all_drops) == (["2024-01-07", "2024-01-08"], DROPS)
    assert page.events == []
    assert len(read_model_page(stores, "model_000", 0).drops) == DROPS


def test_every_point_of_the_figure_leads_to_a_page(console, made):
    lake, fleet = made
    client = console(*fleet.declared, over=lake, now=fleet.now)
    chart = client.get("/models/model_003?format=json").json()["chart"]
    paths = {path for trace in chart["traces"] for path in trace.get("customdata", [])}
    assert len(paths) == DROPS + 3
    for path in [*sorted(paths)[:2], max(path for path in paths if "/drops/" in path)]:
        assert client.get(path).status_code == 200, path
    page = client.get("/models/model_003").text
    assert all(f'href="{path}"' in page for path in paths)


def test_the_figure_has_a_gap_where_nothing_is_known():
    drops = [DropFacts("whole", "/d")]
    events = [ModelEvent(datetime(2024, 1, 1, tzinfo=UTC), "gate", "t", "x", "/e")]
    traces = {trace["name"]: trace for trace in life_chart(drops, events, "mae")["traces"]}
    assert traces["mae realised"]["y"] == [None]
    assert traces["mae realised"]["x"] == ["whole"]
    assert traces["gate"]["customdata"] == ["/e"]
    assert "interval of the estimate" not in traces


def test_a_drop_shows_all_that_was_measured_of_it(stores, made):
    evidence = read_drop(stores, "model_004", made[1].drops[-1])
    assert evidence.performance.height == 2
    assert (evidence.drift.height, evidence.drift["feature"][0]) == (len(FEATURES), "basket_size")
    assert evidence.drift["value"].is_sorted(descending=True)


def test_names_that_are_not_there_are_no_pages(console, made):
    lake, fleet = made
    client = console(*fleet.declared, over=lake, now=fleet.now)
    for path in ("/models/zzz", "/models/model_000/drops/1999-01-01", "/models/model_000/versions?left=9"):
        answer = client.get(path)
        assert answer.status_code == 404, path
    assert client.get("/models/model_000?drops=7").status_code == 400
    assert client.get("/models/model_007").status_code == 200  # nothing of it is in the lake
    assert "Nothing was scored yet" in client.get("/models/model_007").text


def write_version(lake, model, version, auc, depth, of_slice="courier=ann"):
    as_of = (START + timedelta(days=int(version))).isoformat()
    trained = TrainedVersion(
        model=model, version=version, run_id=f"run{version}", as_of=as_of, training_set_version=0, trees=9
    )
    tuned = TunedParameters(
        study="s", fingerprint="f", parameters={"max_depth": depth}, metric="roc_auc", best_value=auc, best_rounds=9,
        trials=1, pruned=0, seconds=1.0,
    )  # fmt: skip
    write_record(lake, f"{model}/model", as_of, trained, version)
    write_record(lake, f"{model}/tuned_parameters", as_of, tuned)
    evaluation = pl.DataFrame(
        {
            "subject": ["model", "model", "importance", "importance", of_slice],
            "metric": ["calibration_error", "roc_auc", "amount", f"only_{version}", "roc_auc"],
            "value": [0.01, auc, 0.7, 0.3, auc - 0.1],
            "low": [None, auc - 0.02, None, None, None], "high": [None, auc + 0.02, None, None, None],
            "confidence": [0.95] * 5, "resamples": [100] * 5, "rows": [50] * 5,
        }
    )  # fmt: skip
    replace_as_of(lake, f"{model}/evaluation", as_of, evaluation, version)


def test_two_versions_side_by_side(stores_of, lake, made):
    write_version(lake, "model_000", "1", 0.7, 3)
    write_version(lake, "model_000", "2", 0.75, 5)
    compared = compare_versions(stores_of(*made[1].declared), "model_000", None, None)
    assert (compared.left, compared.right) == ("1", "2")
    lines = {line.name: line for line in compared.metrics}
    assert list(lines) == ["roc_auc", "calibration_error"]
    auc = lines["roc_auc"]
    assert (auc.left.value, auc.left.low, auc.right.value, auc.right.high) == (0.7, 0.7 - 0.02, 0.75, 0.77)
    depth = next(line for line in compared.parameters if line.name == "max_depth")
    assert (depth.left, depth.right, depth.differs) == (3, 5, True)
    assert [line.name for line in compared.features] == ["amount", "only_1", "only_2"]
    assert compared.features[1].right is None
    assert [line.name for line in compared.slices] == ["courier=ann roc_auc"]


def test_slices_by_a_private_column_are_numbered_alike_in_both_versions(stores_of, lake, made, monkeypatch):
    monkeypatch.setattr("ml_assets.console.pages.model.versions._private_of", lambda *_: frozenset({"courier"}))
    for version, value in (("1", "ann b"), ("2", "bob")):
        write_version(lake, "model_000", version, 0.7, 3, of_slice=f"courier={value}")
    compared = compare_versions(stores_of(*made[1].declared), "model_000", None, None)
    assert [(line.name, line.left is None) for line in compared.slices] == [
        ("courier=(private 1) roc_auc", False),
        ("courier=(private 2) roc_auc", True),
    ]


def test_of_the_first_version_there_is_none_to_compare_it_with(stores_of, lake, made):
    write_version(lake, "model_000", "1", 0.7, 3)
    compared = compare_versions(stores_of(*made[1].declared), "model_000", None, "1")
    assert (compared.left, compared.right, compared.metrics[0].left) == (None, "1", None)
    with pytest.raises(UnknownName, match="version of model model_001"):
        compare_versions(stores_of(*made[1].declared), "model_001", None, None)


def test_names_from_data_are_text_on_every_page(console, lake, made):
    write_version(lake, "model_000", "1", 0.7, HOSTILE, of_slice=f"courier={HOSTILE}")
    report = pl.DataFrame(
        {
            "_drop": ["2024-01-01"], "feature": [HOSTILE], "method": ["psi"], "scope": ["period"], "value": [0.5],
            "threshold": [0.2], "alert": [True], "chunk_start": [START], "rows": [5],
        }
    )  # fmt: skip
    lake.replace("model_000/drift_report", report, {"_drop": ["2024-01-01"]})
    client = console(*made[1].declared)
    for path in ("", "/drops/2024-01-01", "/versions"):
        page = client.get(f"/models/model_000{path}")
        assert page.status_code == 200
        assert "script" in page.text.replace("<script", "").replace("</script", "")
        assert "<script>alert" not in page.text, path
