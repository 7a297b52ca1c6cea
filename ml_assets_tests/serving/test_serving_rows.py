"""Requests about rows, as their clients see them: features looked up, facts pushed, answers kept."""

import asyncio
import json
import math
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of
from ml_assets.online.build import build_view
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds
from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.declared import Declarations, OnlineView, RequestField, ServedModel
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.rollout.challenger import is_canary
from ml_assets.serving.spec import AnswerLogSpec, ServingSpec
from ml_assets.training.fit import fit_model
from ml_assets.training.predictions.scored import scored
from ml_assets.training.records.inputs import ModelInputs
from ml_assets.training.spec import LabelSpec, SpineSpec, TrainingSpec
from ml_assets_tests.serving.conftest import Registered
from ml_assets_tests.serving.spooled import SpooledLog

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
HISTORY = FeatureViewSpec(
    name="courier_history",
    description="How long the courier took.",
    table="deliveries",
    entity=["courier"],
    known_at="arrived_at",
    latest={"last_hours": "hours"},
    windows=["1d"],
    aggregates={"hours": {"of": "hours", "functions": ["mean", "count"]}},
)
DEPOT = FeatureViewSpec(
    name="depot", description="The depot.", table="depots", entity=["depot"], lookups={"depot_size": "size"}
)
PARCEL = FeatureViewSpec(
    name="parcel", description="The parcel.", request={"km": "km", "long": "km > 50", "express": "express"}
)
VIEWS = [PARCEL, HISTORY, DEPOT]
FEATURES = [name for view in VIEWS for name in view.feature_names]
FIELDS = [
    RequestField(name="parcel_id", kind="integer", dtype="Int64", nullable=False),
    RequestField(name="courier", kind="text", dtype="String"),
    RequestField(name="depot", kind="text", dtype="String", choices=["north", "south", "new"]),
    RequestField(name="km", kind="number", dtype="Float64", minimum=0, maximum=500),
    RequestField(name="express", kind="boolean", dtype="Boolean"),
]
DELIVERIES = pl.DataFrame(
    {
        "courier": ["ann", "ann", "bob", "ann"],
        "arrived_at": [NOON - timedelta(hours=hours) for hours in (30, 5, 3, -2)],
        "hours": [9.0, 4.0, 7.0, 1.0],
    },
    schema_overrides={"arrived_at": MOMENT},
)
DEPOTS = pl.DataFrame({"depot": ["north", "south"], "size": [3, 8]})
TABLES = {"courier_history": DELIVERIES, "depot": DEPOTS}
ROW = {"parcel_id": 1, "courier": "ann", "depot": "south", "km": 62.5, "express": True}
ROWS = [
    ROW,
    ROW | {"parcel_id": 2, "courier": "bob", "km": None},
    ROW | {"parcel_id": 3, "courier": "zoe", "depot": "new"},
    ROW | {"parcel_id": 4, "courier": None, "depot": None, "express": None},
]
PATH = "/v1/models/late/predict"


def training_rows(seed):
    random = np.random.default_rng(seed)
    km, hours, size = random.uniform(0, 100, 900), random.uniform(0, 12, 900), random.integers(1, 9, 900)
    return pl.DataFrame(
        {
            "km": km, "long": km > 50, "express": random.random(900) < 0.5, "last_hours": hours,
            "hours_mean_1d": hours + 1, "hours_count_1d": random.integers(0, 5, 900), "depot_size": size,
            "late": km / 10 + hours - size + random.normal(0, 1, 900) > 6,
        }
    )  # fmt: skip


def fitted(seed):
    rows, training = training_rows(seed), TrainingSpec(max_rounds=20, threads=1)
    return fit_model(
        rows.head(600), rows.tail(300), features=FEATURES, label="late", parameters={"max_depth": 3},
        training=training, metric="roc_auc", seed=seed, calibration="sigmoid",
    )  # fmt: skip


@pytest.fixture(scope="module")
def versions():
    return {("late", "1"): fitted(0), ("late", "2"): fitted(1)}


@pytest.fixture
def store(tmp_path):
    made = open_store(f"sqlite:///{tmp_path}/online.db")
    for view in (HISTORY, DEPOT):
        build_view(made, view, TABLES[view.name].lazy(), as_of=NOON, max_age=timedelta(hours=6), build=f"{view.name}-1")
    return made


def declared(**serving):
    model = ServedModel(
        name="late", key=["parcel_id"], time="asked_at", fields=FIELDS, views=VIEWS, serving=ServingSpec(**serving)
    )
    online = {"courier_history": OnlineView(view=HISTORY, fields=[]), "depot": OnlineView(view=DEPOT, fields=[])}
    return Declarations(models={"late": model}, online=online)


@pytest.fixture
def serving(versions, store):
    """Opens servers whose clock stands at an hour after noon, or that are told the time."""
    opened = []

    def serve(declarations=None, *, versions=versions, challenger=None, store=store, log=None, **limits):
        registry = Registered(versions, {"late": "1"}, {} if challenger is None else {"late": challenger})
        clock = lambda: microseconds(NOON + timedelta(hours=1))  # noqa: E731
        told = Declarations() if declarations is False else declarations or declared()
        app = make_app(registry, ["late"], Limits(**{"rows": 50} | limits), told, store, clock=clock, open_log=log)
        client = TestClient(app)
        client.__enter__()
        opened.append(client)
        return client

    yield serve
    for client in opened:
        client.__exit__(None, None, None)


def by_the_engine(rows, at, deliveries=DELIVERIES):
    """The features of rows at a moment, from what was known at noon and pushed since."""
    schema = {"parcel_id": pl.Int64, "courier": pl.String, "depot": pl.String, "km": pl.Float64, "express": pl.Boolean}
    spine = pl.DataFrame(rows, schema=schema).with_columns(asked_at=pl.lit(at).cast(MOMENT))
    known = {"courier_history": deliveries, "depot": DEPOTS}
    parts = [compute_features(view, spine, known.get(view.name), time="asked_at") for view in VIEWS]
    return pl.concat(
        [part.select(view.feature_names) for view, part in zip(VIEWS, parts, strict=True)], how="horizontal"
    )


KNOWN_AT_NOON = DELIVERIES.filter(pl.col("arrived_at") <= NOON)


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS, ROWS * 12])
def test_an_answer_is_the_batch_score_of_the_engines_features(serving, versions, rows):
    done = serving().post(PATH, json={"rows": rows})
    assert done.status_code == 200, done.text
    told, at = done.json(), NOON + timedelta(hours=1)
    wanted = scored(by_the_engine(rows, at, KNOWN_AT_NOON), versions["late", "1"])
    assert [one["score"] for one in told["predictions"]] == pytest.approx(wanted["score"].to_list(), rel=1e-12)
    assert [one["prediction"] for one in told["predictions"]] == wanted["prediction"].to_list()
    assert (told["model"], told["version"], told["role"]) == ("late", "1", "champion")
    assert told["as_of"] == "2024-03-01T13:00:00+00:00"
    assert told["request_id"] == done.headers["x-request-id"]


def trained_on(model, *views):
    """A version that was trained on these views."""
    spine = SpineSpec(table="parcels", key=["parcel_id"], time="asked_at")
    label = LabelSpec(column="late", known_at="arrived_at")
    return replace(model, inputs=ModelInputs(spine=spine, label=label, task="binary", views=views))


def with_views(*views):
    return Declarations(models={"late": declared().models["late"].model_copy(update={"views": list(views)})})


@pytest.mark.parametrize(
    "request_now", [{"km": "km"}, {"km": "km * 2", "long": "km > 90", "express": "NOT express"}], ids=["gone", "other"]
)
def test_a_version_is_asked_with_the_request_features_that_it_was_trained_on(serving, versions, request_now):
    now = PARCEL.model_copy(update={"request": request_now})
    trained = {("late", "1"): trained_on(versions["late", "1"], PARCEL, HISTORY, DEPOT)}
    done = serving(with_views(now, HISTORY, DEPOT), versions=trained).post(PATH, json={"rows": ROWS})
    assert done.status_code == 200, done.text
    wanted = scored(by_the_engine(ROWS, NOON + timedelta(hours=1), KNOWN_AT_NOON), versions["late", "1"])
    assert [one["score"] for one in done.json()["predictions"]] == pytest.approx(wanted["score"].to_list(), rel=1e-12)


def test_a_version_whose_stored_features_are_declared_otherwise_is_not_asked(serving, versions):
    """Their names are the same, their values would be others."""
    doubled = HISTORY.model_copy(update={"latest": {"last_hours": "hours * 2"}})
    trained = {("late", "1"): trained_on(versions["late", "1"], PARCEL, HISTORY, DEPOT)}
    done = serving(with_views(PARCEL, doubled, DEPOT), versions=trained).post(PATH, json={"rows": ROWS})
    assert done.status_code == 409, done.text
    assert (
        "was trained on features ['last_hours', 'hours_mean_1d', 'hours_count_1d'], which its declaration does"
        in (done.json()["error"])
    )


def test_a_version_trained_before_the_keys_of_a_view_changed_is_not_asked(serving, versions):
    """Its stored features would be looked up by a key that no request gives any more."""
    keyed = HISTORY.model_copy(update={"spine_keys": {"courier": "driver"}})
    fields = [field.model_copy(update={"name": "driver"}) if field.name == "courier" else field for field in FIELDS]
    late = with_views(PARCEL, keyed, DEPOT).models["late"].model_copy(update={"fields": fields})
    trained = {("late", "1"): trained_on(versions["late", "1"], PARCEL, HISTORY, DEPOT)}
    row = {"driver" if name == "courier" else name: value for name, value in ROW.items()}
    done = serving(Declarations(models={"late": late}), versions=trained).post(PATH, json={"rows": [row]})
    assert done.status_code == 409, done.text
    assert "was trained on features ['last_hours', 'hours_mean_1d', 'hours_count_1d'], which" in done.json()["error"]


def test_each_row_says_how_fresh_its_features_are(serving):
    told = serving().post(PATH, json={"rows": ROWS}).json()["predictions"]
    fresh, unseen = "fresh", "unseen"
    assert [one["features"] for one in told] == [
        {
            "courier_history": {"state": state, "age_seconds": age, "complete_until": "2024-03-01T12:00:00+00:00"},
            "depot": {"state": depot, "age_seconds": None, "complete_until": "2024-03-01T12:00:00+00:00"},
        }
        for state, age, depot in (
            (fresh, 6 * 3600.0, fresh), (fresh, 4 * 3600.0, fresh), (unseen, None, unseen), (unseen, None, unseen)
        )
    ]  # fmt: skip


def test_what_is_too_old_or_was_never_built_is_null_and_said_so(serving, versions, tmp_path):
    bare = open_store(f"sqlite:///{tmp_path}/bare.db")
    build_view(bare, HISTORY, DELIVERIES.lazy(), as_of=NOON, max_age=timedelta(minutes=30), build="short")
    (told,) = serving(store=bare).post(PATH, json={"rows": [ROW]}).json()["predictions"]
    assert {view: one["state"] for view, one in told["features"].items()} == {
        "courier_history": "expired", "depot": "missing",
    }  # fmt: skip
    nulls = by_the_engine([ROW], NOON).with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in FEATURES[3:])
    assert told["score"] == pytest.approx(scored(nulls, versions["late", "1"])["score"][0], rel=1e-12)


def test_a_replay_is_told_the_time(serving, versions):
    client = serving(replay=True)
    later = NOON + timedelta(hours=5)
    done = client.post(PATH, json={"rows": ROWS, "as_of": "2024-03-01T18:00:00+01:00"}).json()
    assert done["as_of"] == "2024-03-01T17:00:00+00:00"
    wanted = scored(by_the_engine(ROWS, later, KNOWN_AT_NOON), versions["late", "1"])["score"].to_list()
    assert [one["score"] for one in done["predictions"]] == pytest.approx(wanted, rel=1e-12)
    for as_of in (None, "2024-03-01T18:00:00", 3, ["x"]):
        refused = client.post(PATH, json={"rows": ROWS, "as_of": as_of})
        assert (refused.status_code, "as_of: must be a moment" in refused.text) == (400, True)
    assert client.post(PATH, json={"rows": ROWS}).status_code == 400
    refused = serving().post(PATH, json={"rows": ROWS, "as_of": "2024-03-01T18:00:00+01:00"})
    assert (refused.status_code, "must hold rows, contributions and not 'as_of'" in refused.text) == (400, True)


def test_contributions_add_up_to_the_margin(serving, versions):
    uncalibrated = {("late", "1"): replace(versions["late", "1"], calibration=None)}
    client = serving(versions=uncalibrated)
    told = client.post(PATH, json={"rows": ROWS, "contributions": True}).json()["predictions"]
    for one in told:
        contributions = one["contributions"]
        assert list(contributions["features"]) == FEATURES
        margin = contributions["base"] + sum(contributions["features"].values())
        assert 1 / (1 + math.exp(-margin)) == pytest.approx(one["score"], rel=1e-5)
    without = client.post(PATH, json={"rows": ROWS}).json()["predictions"]
    assert [{**one, "contributions": own["contributions"]} for one, own in zip(without, told, strict=True)] == told
    assert "contributions" not in without[0]


def test_contributions_of_several_classes_are_told_by_class(models):
    predictor = Predictor(models["mood"])
    matrix = predictor.encode_rows([{"km": 12.5, "express": False, "courier": "bob"}])
    (told,) = predictor.contributions(matrix)
    assert list(told) == ["calm", "cross", "glad"]
    margins = {name: one["base"] + sum(one["features"].values()) for name, one in told.items()}
    raised = {name: math.exp(margin) for name, margin in margins.items()}
    plain = models["mood"].raw_scores(matrix)[0]
    assert [one / sum(raised.values()) for one in raised.values()] == pytest.approx(plain.tolist(), rel=1e-5)


def test_a_kind_without_contributions_says_so(serving, monkeypatch):
    from ml_assets.training.kinds.xgboost import XGBoostKind

    monkeypatch.setattr(XGBoostKind, "contributions", lambda *_: None)
    done = serving().post(PATH, json={"rows": [ROW], "contributions": True})
    assert (done.status_code, done.json()["error"]) == (
        400, "contributions: models of kind xgboost have none; leave them out",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("/v1/models/lates/predict", {"rows": [ROW]}, 404, "model 'lates' is not served; there are late"),
        ("/v1/models/late/versions/9/predict", {"rows": [ROW]}, 404, "version '9' of late is not served; there is 1"),
        (PATH, [], 400, "the body must be a JSON object"),
        (PATH, {}, 400, "rows: must be a list of objects"),
        (PATH, {"rows": []}, 400, "rows: there is none"),
        (PATH, {"rows": [ROW], "row": 1}, 400, "the body must hold rows, contributions and not 'row'"),
        (PATH, {"rows": [ROW], "contributions": 1}, 400, "contributions: must be true or false"),
        (PATH, {"rows": [ROW] * 51}, 413, "51 rows are more than 50"),
        (PATH, {"rows": [ROW, ROW | {"km": 501}]}, 422, "row 1, field km: must be a number from 0 to 500, not '501'"),
        (PATH, {"rows": [ROW | {"depot": "west"}]}, 422, "row 0, field depot: must be one of new, north, south"),
        (PATH, {"rows": [ROW | {"parcel_id": None}]}, 422, "row 0, field parcel_id: must not be null"),
        (PATH, {"rows": [ROW | {"last_hours": 1}]}, 422, "row 0: there are no fields ['last_hours']"),
        ("/v1/push/courier_histories", {"rows": [{}]}, 404, "view 'courier_histories' is not online; there are"),
        ("/v1/push/courier_history", {"rows": 3}, 400, "rows: must be a list of objects"),
        ("/v1/push/courier_history", {"rows": [3]}, 400, "rows: must be a list of objects"),
        ("/v1/push/courier_history", {"rows": []}, 400, "rows: there is none"),
        ("/v1/push/courier_history", {"rows": [{}] * 51}, 413, "51 rows are more than 50"),
        ("/v1/push/courier_history", {"rows": [{}], "contributions": True}, 400, "must hold rows and not"),
        ("/v1/push/courier_history", {"rows": [{"courier": "ann"}]}, 422, "row 0"),
        (
            "/v1/push/courier_history",
            {"rows": [{"courier": "ann", "arrived_at": "2024-03-01T12:30:00Z", "hours": "two"}]},
            422,
            "row 0: 'hours' is 'two'; it must be a finite number",
        ),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_what_to_change(serving, path, body, status, why):
    done = serving().post(path, json=body)
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text


def test_a_body_that_is_no_json_another_form_and_another_method(serving):
    client = serving()
    done = client.post(PATH, content=b"{", headers={"content-type": "application/json"})
    assert (done.status_code, "no JSON" in done.text) == (400, True)
    assert client.post(PATH, content=b"{}", headers={"content-type": "text/csv"}).status_code == 415
    done = client.get(PATH)
    assert (done.status_code, done.headers["allow"]) == (405, "POST")
    assert client.post(PATH, content=b" " * 1000, headers={"content-type": "application/json"}).status_code == 400


def test_pushed_facts_are_in_the_next_answer(serving, versions):
    client = serving()
    pushed = [
        {"courier": "ann", "arrived_at": "2024-03-01T12:30:00Z", "hours": 11.5},
        {"courier": "zoe", "arrived_at": "2024-03-01T12:45:00Z", "hours": 2},
    ]
    done = client.post("/v1/push/courier_history", json={"rows": pushed})
    told = {"view": "courier_history", "rows": 2, "entities": 2, "seq": 2, "complete_until": NOON.isoformat()}
    assert (done.status_code, done.json()) == (200, told)
    arrived = [{**row, "arrived_at": datetime.fromisoformat(row["arrived_at"])} for row in pushed]
    known = pl.concat([KNOWN_AT_NOON, pl.DataFrame(arrived, schema=DELIVERIES.schema)])
    wanted = scored(by_the_engine(ROWS, NOON + timedelta(hours=1), known), versions["late", "1"])["score"].to_list()
    told = client.post(PATH, json={"rows": ROWS}).json()["predictions"]
    assert [one["score"] for one in told] == pytest.approx(wanted, rel=1e-12)
    assert told[2]["features"]["courier_history"] == {
        "state": "fresh", "age_seconds": 900.0, "complete_until": "2024-03-01T12:00:00+00:00"
    }  # fmt: skip


def test_a_view_without_a_build_takes_no_facts(serving, tmp_path):
    client = serving(store=open_store(f"sqlite:///{tmp_path}/bare.db"))
    fact = {"courier": "ann", "arrived_at": "2024-03-01T12:30:00Z", "hours": 1}
    done = client.post("/v1/push/courier_history", json={"rows": [fact]})
    assert (done.status_code, "has no build" in done.text) == (409, True)


def test_a_store_out_of_reach_is_said_and_not_guessed_around(serving):
    def unreachable(*_):
        raise StoreUnavailable("no route to it")

    store = SimpleNamespace(notes=unreachable, read=unreachable, change=unreachable, changes_together=False)
    client = serving(store=store)
    for path in (PATH, "/v1/push/courier_history"):
        done = client.post(path, json={"rows": [ROW]})
        assert (done.status_code, "try again: no route to it" in done.text) == (503, True)


@pytest.mark.parametrize(
    ("declarations", "why"),
    [
        (False, "late cannot be asked about rows: it is not declared in this project"),
        (Declarations(unready={"late": "its views depot are not online"}), "its views depot are not online"),
        (
            Declarations(models={"late": declared().models["late"].model_copy(update={"views": [PARCEL, HISTORY]})}),
            "version 1 of late was trained on features ['depot_size'], which its declaration does not give",
        ),
    ],
)
def test_a_model_that_takes_features_only_says_why(serving, declarations, why):
    client = serving(declarations)
    done = client.post(PATH, json={"rows": [ROW]})
    assert (done.status_code, why in done.json()["error"]) == (409, True), done.text
    assert client.post("/invocations", json={"instances": [dict.fromkeys(FEATURES)]}).status_code == 200


def test_some_keys_are_answered_by_the_challenger(serving, versions):
    client = serving(declared(canary=0.4), challenger="2")
    rows = [ROW | {"parcel_id": number} for number in range(40)]
    told = client.post(PATH, json={"rows": rows}).json()
    assert (told["version"], told["role"]) == ("1", "champion")
    features = by_the_engine(rows, NOON + timedelta(hours=1), KNOWN_AT_NOON)
    scores = {version: scored(features, model)["score"].to_list() for (_, version), model in versions.items()}
    sides = [is_canary("late", [number], 0.4) for number in range(40)]
    assert {*sides} == {True, False}
    for place, (one, side) in enumerate(zip(told["predictions"], sides, strict=True)):
        assert (one.get("version"), one.get("role")) == (("2", "canary") if side else (None, None))
        assert one["score"] == pytest.approx(scores["2" if side else "1"][place], rel=1e-12)
        # Alone a key is on the same side.
        assert client.post(PATH, json={"rows": [rows[place]]}).json()["predictions"] == [one]
    pinned = client.post("/v1/models/late/versions/1/predict", json={"rows": rows}).json()["predictions"]
    assert [one["score"] for one in pinned] == pytest.approx(scores["1"], rel=1e-12)


@pytest.fixture
def logged(tmp_path):
    """A log that is read back."""
    return SpooledLog(tmp_path / "spool")


def test_every_answer_is_logged_with_what_it_was_made_of(serving, logged):
    client = serving(log=logged.open)
    told = client.post(PATH, json={"rows": ROWS}, headers={"x-request-id": "mine-1"}).json()
    given = dict.fromkeys(FEATURES) | {"km": 3.5}
    client.post("/invocations", json={"instances": [given]}, headers={"x-request-id": "mine-2"})
    tensors = [{"name": n, "datatype": "FP64", "shape": [1], "data": [v]} for n, v in given.items()]
    client.post("/v2/models/late/infer", json={"inputs": tensors}, headers={"x-request-id": "mine-3"})
    client.post(PATH, json={"rows": [ROW | {"km": -1}]})
    client.__exit__(None, None, None)
    client.__enter__()
    frames = logged.frames()
    assert {key for key, _ in frames} == {"late/request_log"}
    rows = pl.concat([frame for _, frame in frames]).to_dicts()
    assert [(row["request_id"], row["row"]) for row in rows] == [
        *(("mine-1", at) for at in range(4)), ("mine-2", 0), ("mine-3", 0),
    ]  # fmt: skip
    features = by_the_engine(ROWS, NOON + timedelta(hours=1), KNOWN_AT_NOON).to_dicts()
    for row, asked, own, answer in zip(rows[:4], ROWS, features, told["predictions"], strict=True):
        assert {name: row[f"given_{name}"] for name in asked} == asked
        assert {name: row[f"feature_{name}"] for name in FEATURES} == own
        assert (row["score"], row["prediction"]) == (answer["score"], answer["prediction"])
        assert row["requested_at"] == NOON + timedelta(hours=1)
        assert (row["role"], row["model_version"]) == ("champion", "1")
        assert json.loads(row["versions"]) == {
            one.name: [f"{one.name}-1@{declaration_of(one)}", 0] for one in (HISTORY, DEPOT)
        }
    assert rows[2]["states"] == '{"courier_history":"unseen","depot":"unseen"}'
    for row in rows[4:]:
        assert {name: row[f"feature_{name}"] for name in FEATURES} == given
        assert {row[f"given_{field.name}"] for field in FIELDS} == {None}
        assert (row["versions"], row["states"]) == ("{}", "{}")


def test_in_the_shadow_the_challenger_scores_the_same_features_and_nobody_sees_it(serving, logged, versions):
    client = serving(declared(shadow=True), challenger="2", log=logged.open)
    plain = serving().post(PATH, json={"rows": ROWS}).json()
    told = client.post(PATH, json={"rows": ROWS}).json()
    assert told["predictions"] == plain["predictions"]
    client.__exit__(None, None, None)
    client.__enter__()
    rows = pl.concat([frame for _, frame in logged.frames()]).sort("role", "row")
    assert rows["role"].to_list() == ["champion"] * 4 + ["shadow"] * 4
    assert rows["model_version"].to_list() == ["1"] * 4 + ["2"] * 4
    wanted = scored(by_the_engine(ROWS, NOON + timedelta(hours=1), KNOWN_AT_NOON), versions["late", "2"])
    assert rows["score"].to_list()[4:] == pytest.approx(wanted["score"].to_list(), rel=1e-12)


@pytest.mark.parametrize(("mode", "before"), [("durable", True), ("windowed", False)])
@pytest.mark.parametrize("rows", [1, 100])
def test_a_durable_answer_is_in_the_spool_before_it_is_sent(versions, store, tmp_path, mode, before, rows):
    spec = AnswerLogSpec.model_validate({"mode": mode, "window_seconds": 60})
    told = declared(log=spec)
    log = SpooledLog(tmp_path)
    registry = Registered(versions, {"late": "1"})
    app = make_app(registry, ["late"], Limits(), told, store, clock=lambda: microseconds(NOON), open_log=log.open)
    body = json.dumps({"rows": [ROW] * rows}).encode()
    seen = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        seen.append((message["type"], message.get("status"), len(log.rows())))

    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    asyncio.run(app({"type": "http", "method": "POST", "path": PATH, "headers": head}, receive, send))
    logged = rows if before else 0
    assert seen == [("http.response.start", 200, logged), ("http.response.body", None, logged)]
    app._keeping.close()
    assert len(log.rows()) == rows


def test_answers_of_one_turn_are_written_together_and_before_any_is_sent(versions, store, tmp_path, monkeypatch):
    log, writes, sent = SpooledLog(tmp_path), [], []
    registry = Registered(versions, {"late": "1"})
    app = make_app(registry, ["late"], Limits(), declared(), store, clock=lambda: microseconds(NOON), open_log=log.open)
    body = json.dumps({"rows": [ROW]}).encode()
    write = os.write

    def counted(descriptor, content):
        writes.append(len(content))
        return write(descriptor, content)

    async def ask(number):
        name = f"r{number}"

        async def receive():
            await asyncio.sleep(0)
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            if message["type"] == "http.response.start":
                sent.append((message["status"], name in {row["request_id"] for row in log.rows()}))

        head = [(b"content-type", b"application/json"), (b"x-request-id", name.encode())]
        await app({"type": "http", "method": "POST", "path": PATH, "headers": head}, receive, send)

    async def ask_all():
        asked = [asyncio.ensure_future(ask(number)) for number in range(12)]
        while not writes and not all(each.done() for each in asked):
            await asyncio.sleep(0)
        await asyncio.gather(*asked)

    monkeypatch.setattr("ml_assets.serving.log.spool.os.write", counted)
    asyncio.run(ask_all())
    assert sent == [(200, True)] * 12
    assert 1 <= len(writes) - 1 < 12, "one is the head of the file"
    app._keeping.close()


def test_a_server_that_cannot_log_is_not_ready_and_says_why(serving, logged, monkeypatch):
    client = serving(log=logged.open)
    assert client.get("/v2/health/ready").status_code == 200

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ml_assets.serving.log.segments.os.write", full)
        assert client.post(PATH, json={"rows": [ROW]}).status_code == 200
        told = client.get("/v2/health/ready")
        assert told.status_code == 503
        assert "late/request_log: the spool" in told.json()["error"]
        assert "cannot be written: No space left on device" in told.json()["error"]
        assert client.get("/v2/health/live").status_code == 200
    client.post(PATH, json={"rows": [ROW]})
    assert client.get("/v2/health/ready").status_code == 200
    assert len(logged.rows()) == 2


def test_metrics_count_states_ages_and_what_the_log_drops(serving):
    full = SimpleNamespace(
        put=lambda *_, **__: None,
        commit=lambda: None,
        close=lambda: None,
        is_durable=lambda _: True,
        written=0,
        dropped=4,
        fault="",
    )
    client = serving(log=lambda *_: full)
    client.post(PATH, json={"rows": ROWS})
    client.post(PATH, json={"rows": [ROW | {"km": -1}]})
    told = client.get("/metrics").text.splitlines()
    for line in (
        'ml_assets_online_features_total{model="late",state="fresh",view="courier_history"} 2.0',
        'ml_assets_online_features_total{model="late",state="unseen",view="depot"} 2.0',
        'ml_assets_feature_age_seconds_count{view="courier_history"} 2.0',
        'ml_assets_feature_age_seconds_sum{view="courier_history"} 36000.0',
        'ml_assets_feature_age_seconds_bucket{le="14400.0",view="courier_history"} 1.0',
        'ml_assets_rows_total{model="late",version="1"} 4.0',
        'ml_assets_answers_total{route="/v1/models/{model}/predict",status="422"} 1.0',
        "ml_assets_log_dropped_rows_total 4.0",
    ):
        assert line in told, line


@pytest.mark.parametrize(("given", "taken"), [("a.b-c:1", True), ("x" * 65, False), ("a b", False), ("", False)])
def test_a_request_keeps_its_id_if_it_can_be_logged(serving, given, taken):
    done = serving().post(PATH, json={"rows": [ROW]}, headers={"x-request-id": given})
    assert (done.headers["x-request-id"] == given) == taken
    assert done.json()["request_id"] == done.headers["x-request-id"]


def test_what_goes_wrong_inside_is_told_as_such_and_nothing_more(serving, monkeypatch, caplog):
    client = serving()
    monkeypatch.setattr(Predictor, "predict", lambda *_: 1 / 0)
    done = client.post(PATH, json={"rows": [ROW]})
    assert done.status_code == 500
    assert done.json() == {"error": f"the server failed; its log tells of {done.headers['x-request-id']}"}
    assert "ZeroDivisionError" in caplog.text
