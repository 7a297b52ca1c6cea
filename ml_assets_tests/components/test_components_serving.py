"""A shop whose model answers requests: what it answered is gathered, compared, monitored and asked at promotions."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from ml_assets.features.expressions import evaluate
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.log.request_log import DAY, Answered, LogSchema, log_frame

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

HISTORY, DROP = ["2024-01", "2024-02", "2024-03"], "2024-04"
HABITS = {
    "name": "habits", "description": "What came back.", "spine": "orders", "entity": ["customer"],
    "table": "orders/validated", "known_at": "settled_at", "windows": ["7d"],
    "aggregates": {"returned": {"of": "CAST(returned AS DOUBLE)", "functions": ["mean", "count"]}},
}  # fmt: skip
TRAINED = [f"returns/{name}" for name in ("training_set", "tuned_parameters", "model", "evaluation", "reference")]
PRODUCT = {
    "features": ["order", "habits"], "serving": {"skew_rows": 60}, "promotion": {"margin": 0.5},
    "split": {"validation": "20d", "holdout": "20d", "gap": "2d"},
}  # fmt: skip


def micro(moment):
    return int(moment.timestamp() * 1e6)


@pytest.fixture(scope="module")
def make_shop(make_project, made_up_orders, tmp_path_factory):
    """Makes a shop with a champion, of which a drop was delivered after its orders were answered about."""

    def make(**serving):
        delivered = tmp_path_factory.mktemp("delivered")
        for month in [*HISTORY, DROP]:
            made_up_orders.of(month, 20).write_csv(delivered / f"{month}.csv")
        declared = made_up_orders.declared(delivered, **PRODUCT | {"serving": PRODUCT["serving"] | serving})
        project = make_project(*declared, {"type": "ml_assets.FeatureView", "attributes": HABITS})
        drops = [*HISTORY, DROP]
        for keys in (["orders/raw", "orders/validated", "orders/quarantine"], ["features/order", "features/habits"]):
            assert project.run(*keys, drops=drops).success
        ran = project.run(*TRAINED, "returns/champion", as_of="2024-04-01")
        assert ran.success, ran.errors
        return project

    return make


@pytest.fixture(scope="module")
def shop(make_shop):
    return make_shop()


@pytest.fixture(scope="module")
def watched_shop(make_shop):
    return make_shop(monitored=True)


@pytest.fixture
def project(shop):
    """A shop that nothing was asked of."""
    return closed(shop)


@pytest.fixture
def watched(watched_shop):
    """One whose served answers are monitored."""
    return closed(watched_shop)


def closed(project):
    home = project.folder / "home"
    served = [home / "lake/returns" / name for name in ("request_log", "served_predictions", "serving_skew")]
    for folder in [*served, home / "lake/online", home / "lake/pushed"]:
        shutil.rmtree(folder, ignore_errors=True)
    for file in home.glob("online.db*"):
        file.unlink()
    return project


def views_of(project):
    from ml_assets.components.features.feature_view import FeatureView

    views = project.tree.get_all_components(of_type=FeatureView)
    return {view.name: view for view in views}


def serve(project, answers=200):
    """Answer about orders of the drop, one after the other, while the outcomes of the earlier ones are pushed."""
    lake, views = project.lake, views_of(project)
    store = open_store(f"sqlite:///{project.folder}/home/online.db")
    orders = lake.scan("orders/validated").filter(pl.col("_drop") == DROP).sort("placed_at").collect()
    as_of, version = datetime(2024, 4, 1, tzinfo=UTC), lake.version("orders/validated")
    habits = views["habits"]
    table = lake.scan("orders/validated", version)
    made = build_view(store, habits, table, as_of=as_of, max_age=timedelta(days=20), build="b1", table_version=version)
    lake.append("online/habits", made.frame())
    champion = project.registry.champion("returns")
    model = project.registry.load("returns", version=champion.version)
    predictor, online = Predictor(model), OnlineFeatures(store, list(views.values()))
    given = {"id": pl.Int64(), "customer": pl.String(), "amount": pl.Float64()}
    schema = LogSchema(given, LogSchema.of(model).features, LogSchema.of(model).answer)
    rows, pushed = [], 0
    settled = orders.sort("settled_at")
    for order in orders.gather_every(max(1, orders.height // answers)).head(answers).iter_rows(named=True):
        asked_at = order["placed_at"]
        known = settled.filter(pl.col("settled_at") <= asked_at - timedelta(hours=3))
        if known.height > pushed:
            new = known.slice(pushed).select(habits.table_columns)
            push_facts(store, habits, new, arrived_at=micro(asked_at) - 1)
            pushed = known.height
        request = pl.DataFrame([order]).select(*given)
        (fetched,) = online.fetch([order], micro(asked_at))
        features = evaluate("order", request, views["order"].request).row(0, named=True) | fetched.values
        encoded = predictor.encode_rows([{name: features[name] for name in model.features}])
        answer = {name: values[0] for name, values in predictor.predict(encoded).items()}
        rows.append(
            Answered(
                f"r{order['id']}", 0, "returns", champion.version, "champion", micro(asked_at), 0.002,
                request.row(0, named=True), features, answer, fetched.versions, fetched.states,
            )
        )  # fmt: skip
    lake.append("returns/request_log", log_frame(rows, {champion.version: schema}), [DAY])
    return rows


def gather(project, *more):
    return project.run("returns/served_predictions", *more, drops=[DROP])


def test_without_a_request_the_table_is_empty_and_says_so(project):
    ran = gather(project)
    assert ran.success, ran.errors
    told = ran.metadata("returns/served_predictions")
    assert told["log"] == "returns/request_log is not there yet: nothing was asked"
    served = project.lake.scan("returns/served_predictions").collect()
    assert served.height == 0
    assert {"_drop", "placed_at", "id", "score", "price", "returned_mean_7d", "role"} <= {*served.columns}
    check = ran.check("returns/served_predictions:serving_skew")
    assert (check.passed, check.metadata["answers"].value) == (True, 0)


@pytest.fixture
def answered(project):
    serve(project)
    ran = gather(project)
    assert ran.success, ran.errors
    return project, ran


def test_honest_answers_pass_with_fresh_values_among_them(answered):
    project, ran = answered
    check = ran.check("returns/served_predictions:serving_skew")
    assert check.passed
    assert check.partition == DROP
    told = {name: value.value for name, value in check.metadata.items()}
    assert told["answers"] == 60
    # habits has 2 features, the request 1, and there is a score
    assert told["values"] == 60 * 4
    assert 0 < told["fresh_values"] < 60 * 2  # the last third of the month is beyond the build's 20 days
    (record,) = project.lake.scan("returns/serving_skew").collect().to_dicts()
    assert (record["drop"], record["rows"], record["differing"]) == (DROP, 60, 0)


def test_served_predictions_hold_the_answers_and_the_features_as_served(answered):
    project, ran = answered
    served = project.lake.scan("returns/served_predictions").sort("placed_at").collect()
    assert served.height == 200
    early, late = served.row(30, named=True), served.row(-1, named=True)
    assert json.loads(early["states"]) == {"habits": "fresh"}
    assert early["returned_count_7d"] > 0
    assert json.loads(late["states"]) == {"habits": "expired"}
    assert late["returned_mean_7d"] is None
    told = ran.metadata("returns/served_predictions")
    traffic = told["traffic"][DROP]
    assert traffic["answers"] == {"champion 1": 200}
    old = sum("expired" in text or "stale" in text for text in served["states"]) / 200
    assert traffic["not_fresh"] == {"habits": pytest.approx(old)}
    assert told["waiting_for_a_spine_row"] == 0


def test_a_changed_log_fails_and_names_the_feature(project):
    serve(project, answers=40)
    log = project.lake.scan("returns/request_log").collect()
    wrong = log.with_columns(pl.col("feature_returned_count_7d") + (pl.col("requested_at").dt.day() == 3))
    assert not wrong.equals(log)
    project.lake.replace("returns/request_log", wrong, {DAY: wrong[DAY].unique().to_list()})
    ran = gather(project)
    assert not ran.success
    check = ran.check("returns/served_predictions:serving_skew")
    assert (check.passed, check.blocking) == (False, True)
    assert "returned_count_7d" in check.metadata["differing"].value
    (record,) = project.lake.scan("returns/serving_skew").collect().to_dicts()
    assert record["worst_feature"] == "habits.returned_count_7d"
    assert project.lake.scan("returns/served_predictions").collect().height == 40
    # A training that looks from before the drop knows nothing of it; one that looks from its end promotes nobody.
    before = project.run("returns/champion", as_of="2024-04-01").metadata("returns/champion")
    assert (before["rule"], before["promote"]) == ("first_champion", True)
    ran = project.run(*TRAINED, "returns/champion", as_of="2024-05-01")
    told = ran.metadata("returns/champion")
    assert (told["rule"], told["promote"], told["champion"]) == ("serving_skew", False, "1")
    assert project.registry.champion("returns").version == "1"
    assert "What was served last is not what it should be (values_differing is" in told["reason"]
    evidence = {item["name"]: item for item in told["record"]["evidence"]}
    assert evidence["values_differing"]["observed"] == record["differing"]
    assert "most of habits.returned_count_7d" in evidence["values_differing"]["source"]
    assert (evidence["p95_ms"]["threshold"], evidence["p99_ms"]["threshold"]) == (100, 250)
    assert 0 < evidence["p95_ms"]["observed"] <= evidence["p99_ms"]["observed"]


def specs_of(project):
    return {spec.key.to_user_string(): spec for assets in project.definitions.assets for spec in assets.specs}


def test_a_model_that_declares_no_serving_gathers_nothing(make_project, made_up_orders, tmp_path):
    project = make_project(*made_up_orders.declared(tmp_path, split=PRODUCT["split"]))
    assert "returns/predictions" in specs_of(project)
    assert "returns/served_predictions" not in specs_of(project)


@pytest.mark.parametrize("monitored", [False, True])
def test_what_monitors_follows_the_predictions_that_it_reads(make_project, made_up_orders, tmp_path, monitored):
    project = make_project(*made_up_orders.declared(tmp_path, split=PRODUCT["split"], serving={"monitored": monitored}))
    specs = specs_of(project)
    read = "returns/served_predictions" if monitored else "returns/predictions"
    other = "returns/predictions" if monitored else "returns/served_predictions"
    for name in ("drift_report", "performance_report"):
        deps = {dep.asset_key.to_user_string() for dep in specs[f"returns/{name}"].deps}
        assert read in deps
        assert other not in deps
    stage = "served" if monitored else "scoring"
    watching = ("drift_report", "performance_report", "retrain_decision")
    assert {specs[f"returns/{name}"].tags["ml_assets/stage"] for name in watching} == {stage}


def test_monitoring_of_what_was_served_ends_in_a_decision(watched):
    project = watched
    assert project.run("returns/predictions", drops=[DROP]).success
    serve(project, answers=600)
    watching = [f"returns/{name}" for name in ("drift_report", "performance_report", "retrain_decision")]
    ran = gather(project, *watching)
    assert ran.success, ran.errors
    drift = project.lake.scan("returns/drift_report").filter(pl.col("scope") == "period").collect()
    # Two thirds of the month were served with fresh habits; batch would have had them all.
    assert drift.filter(pl.col("feature") == "returned_mean_7d").height > 0
    performance = project.lake.scan("returns/performance_report").collect()
    realised = performance.filter(pl.col("kind") == "realised", pl.col("scope") == "period")
    assert realised["value"].null_count() < realised.height
    (decision,) = project.lake.scan("returns/retrain_decision").collect()["record"]
    assert json.loads(decision)["drop"] == DROP


def test_monitoring_needs_something_served(watched):
    project = watched
    assert gather(project).success
    ran = project.run("returns/drift_report", drops=[DROP])
    assert ran.errors[0].endswith(
        "returns/served_predictions holds nothing of 2024-04: nothing was served that could be monitored"
    )


def test_the_sensor_asks_for_drops_with_new_answers_alone(project):
    from ml_assets.automation.sensors.served import served_sensor
    from ml_assets.components.features.spine import Spine
    from ml_assets.resources import LakeResource

    (spine,) = project.tree.get_all_components(of_type=Spine)
    sensor = served_sensor("returns", spine, 30)

    def look(cursor=None):
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"lake": LakeResource(root=project.lake.root)}
            )
            return sensor(context)

    assert isinstance(look(), dg.SkipReason)
    serve(project, answers=10)
    first = look()
    assert [request.partition_key for request in first.run_requests] == [DROP]
    assert isinstance(look(first.cursor), dg.SkipReason)
    project.lake.compact("returns/request_log")
    assert isinstance(look(first.cursor), dg.SkipReason)
    rows = project.lake.scan("returns/request_log").head(1).collect()
    project.lake.append("returns/request_log", rows, [DAY])
    again = look(first.cursor)
    assert [request.partition_key for request in again.run_requests] == [DROP]
    assert again.run_requests[0].run_key != first.run_requests[0].run_key
