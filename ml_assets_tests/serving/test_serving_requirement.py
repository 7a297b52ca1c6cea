"""What a model requires of looked-up features, and what answers where they are not like that."""

from contextlib import ExitStack
from datetime import timedelta

import polars as pl
import pytest
from starlette.testclient import TestClient

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.freshness import Freshness
from ml_assets.online.lookup import Fetched
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.declared import Declarations, ServedModel
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.log.served import as_predictions, describe_traffic, keyed, rows_asked_about
from ml_assets.serving.log.skew import sample_answers
from ml_assets.serving.prediction.requirement import Requirement
from ml_assets.serving.spec import FallbackSpec, RequireSpec, ServingSpec
from ml_assets.sources.drops.spec import Drops
from ml_assets_tests.serving.conftest import ASKED, FIELDS, ROUTE
from ml_assets_tests.serving.spooled import SpooledLog

HOUR = timedelta(hours=1) // timedelta(microseconds=1)
PATH = "/v1/models/late/predict"
ROW = {"parcel": 7, "courier": "ann", "express": True}
FRESHNESS = {"route": Freshness(warn="2h", fail="4h")}
PLAIN = FeatureViewSpec(
    name="plain_row", description="Of the request alone.",
    request={"km": "CAST(parcel AS DOUBLE)", "express": "express", "courier": "courier"},
)  # fmt: skip


def fetched(**states):
    return Fetched({}, states, dict.fromkeys(states), {}, dict.fromkeys(states))


@pytest.mark.parametrize(
    ("require", "rows", "enough"),
    [
        ({}, [fetched(a="fresh", b="unseen")], True),
        ({}, [fetched(a="fresh", b="stale")], False),
        ({}, [fetched(a="fresh", b="missing")], False),
        ({"state": "stale"}, [fetched(a="unseen", b="stale")], True),
        ({"state": "stale"}, [fetched(a="fresh", b="expired")], False),
        ({"views": ["a"]}, [fetched(a="fresh", b="missing")], True),
        ({"views": ["b"]}, [fetched(a="fresh", b="missing")], False),
        # The share is of all rows in all views that are required.
        ({"share": 0.5}, [fetched(a="fresh", b="missing")], True),
        ({"share": 0.51}, [fetched(a="fresh", b="missing")], False),
        ({"share": 0.9}, [*[fetched(a="fresh")] * 9, fetched(a="expired")], True),
        ({"share": 0.9}, [*[fetched(a="fresh")] * 8, *[fetched(a="expired")] * 2], False),
        # 0.07 * 100 is a little more than 7 in floats.
        ({"share": 0.07}, [*[fetched(a="fresh")] * 7, *[fetched(a="stale")] * 93], True),
        ({"share": 0.07}, [*[fetched(a="fresh")] * 6, *[fetched(a="stale")] * 94], False),
        # A version that was not trained on a view needs nothing of it.
        ({"views": ["c"]}, [fetched(a="missing")], True),
    ],
)
def test_the_share_of_look_ups_that_are_as_required(require, rows, enough):
    assert (Requirement(RequireSpec(**require)).shortfall(rows) == "") is enough


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"share": 0}, "share: 0.0 must be above 0"),
        ({"share": 1.1}, "share: 1.1 must be above 0 and no more than 1"),
        ({"fallback": {}}, "fallback: name either model or constant"),
        ({"fallback": {"model": "a", "constant": 1}}, "fallback: name either model or constant"),
        ({"state": "unseen"}, "Input should be 'fresh' or 'stale'"),
    ],
)
def test_a_requirement_that_cannot_be_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        RequireSpec(**wrong)


@pytest.fixture
def serving(registry, other, store, noon):
    """Serve `late`, which requires fresh routes, and `plain` beside it; at so many hours after the build."""

    def serve(hours, fallback=None, log=None, of=None, models=("late", "plain"), **require):
        spec = RequireSpec(fallback=fallback and FallbackSpec(**fallback), **require)
        late = ServedModel(
            name="late", key=["parcel"], time="asked_at", fields=FIELDS, views=[ROUTE, ASKED], freshness=FRESHNESS,
            serving=ServingSpec(require=spec),
        )  # fmt: skip
        plain = ServedModel(name="plain", key=["parcel"], time="asked_at", fields=FIELDS, views=[PLAIN])
        there = {each.name: each for each in (late, plain) if each.name in models}
        registry.versions["plain", "4"], registry.champions["plain"] = other, "4"
        app = make_app(
            registry, list(models), Limits(rows=50), Declarations(models=there), of or store,
            clock=lambda: noon + round(hours * HOUR), open_log=log and log.open,
        )  # fmt: skip
        return opened.enter_context(TestClient(app))

    with ExitStack() as opened:
        yield serve


def test_below_the_share_the_request_is_refused_with_the_reason(serving):
    done = serving(1.9).post(PATH, json={"rows": [ROW]})
    assert (done.status_code, "fallback" in done.json()) == (200, False)
    done = serving(2).post(PATH, json={"rows": [ROW]})
    assert (done.status_code, done.json()["error"]) == (
        503,
        "of 1 look-ups 0 are fresh, and 1 of them must be: route is stale, complete until 2024-01-31T12:00:00+00:00",
    )
    assert serving(2, state="stale").post(PATH, json={"rows": [ROW]}).status_code == 200
    # Features that a request gives are none that are looked up.
    features = {"km": 1.0, "express": True, "courier": "ann"}
    assert serving(2).post("/v1/models/late:predict", json={"instances": [features]}).status_code == 200


def test_a_declared_model_answers_in_its_place_and_is_marked(serving, other):
    done = serving(2, {"model": "plain"}).post(PATH, json={"rows": [ROW, ROW | {"parcel": 30}]})
    assert done.status_code == 200, done.text
    answer = done.json()
    predictor = Predictor(other)
    wanted = predictor.predict(
        predictor.encode_rows([{"km": km, "express": True, "courier": "ann"} for km in (7.0, 30.0)])
    )
    assert [row["score"] for row in answer["predictions"]] == wanted["score"]
    assert {(row["version"], row["role"]) for row in answer["predictions"]} == {("plain/4", "fallback")}
    assert answer["fallback"].startswith("of 2 look-ups 0 are fresh, and 1 of them must be: route is stale")
    assert answer["predictions"][0]["features"]["route"]["state"] == "stale"
    assert (answer["model"], answer["version"], answer["role"]) == ("late", "1", "champion")


def test_a_constant_answers_in_the_columns_of_the_model(serving):
    client = serving(2, {"constant": 0.25})
    answer = client.post(PATH, json={"rows": [ROW], "contributions": True}).json()
    (row,) = answer["predictions"]
    assert {name: row[name] for name in ("score", "version", "role")} == {
        "score": 0.25, "version": "constant", "role": "fallback",
    }  # fmt: skip
    assert row["prediction"] is False
    assert "contributions" not in row
    metrics = client.get("/metrics").text
    assert 'ml_assets_fallback_rows_total{model="late",version="constant"} 1.0' in metrics
    assert 'ml_assets_online_features_total{model="late",state="stale",view="route"} 1.0' in metrics


@pytest.mark.parametrize("fallback", [None, {"constant": 0.5}, {"model": "plain"}])
def test_a_store_out_of_reach_falls_short_of_everything(serving, store, fallback):
    class Away:
        def __getattr__(self, name):
            return self._unreachable if name in ("read", "notes") else getattr(store, name)

        def _unreachable(self, *_):
            raise StoreUnavailable("no route to it")

    done = serving(0, fallback, of=Away()).post(PATH, json={"rows": [ROW]})
    if fallback is None:
        assert (done.status_code, "cannot be looked up, try again: no route to it" in done.text) == (503, True)
        return
    (row,) = done.json()["predictions"]
    assert (row["role"], row["features"]["route"]["state"]) == ("fallback", "missing")


def test_what_is_fallen_back_to_has_to_be_served(serving):
    with pytest.raises(ValueError, match="late falls back to plain: serve that model too"):
        serving(0, {"model": "plain"}, models=["late"])


def test_the_log_keeps_who_answered_and_the_model_is_not_held_to_it(serving, tmp_path):
    log = SpooledLog(tmp_path)
    client = serving(2, {"constant": 0.25}, log=log)
    client.post(PATH, json={"rows": [ROW, ROW | {"courier": "bob"}]})
    rows = pl.concat(frame for _, frame in log.frames())
    assert rows.select("role", "model_version", "score", "states").unique().rows() == [
        ("fallback", "constant", 0.25, '{"route":"stale"}')
    ]
    assert rows["feature_km"].to_list() == [10.0, 90.0]
    assert describe_traffic(rows).answers == {"fallback constant": 2}
    assert describe_traffic(rows).not_fresh == {"route": 1.0}
    assert sample_answers(rows, ["parcel"], 10, 0).is_empty()
    types = {"parcel": rows.schema["given_parcel"]}
    assert as_predictions(rows, key=types, time="asked_at", features={}).is_empty()
    drops = Drops(grain="daily", start="2024-01-01", end="2024-03-01")
    assert rows_asked_about(keyed(rows.lazy(), ["parcel"], "asked_at"), types, drops, "_drop").collect().is_empty()
