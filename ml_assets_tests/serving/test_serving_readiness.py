"""Whether a server takes requests, by how the views stand that its models look up."""

import logging
import re
from datetime import timedelta

import polars as pl
import pytest
from starlette.testclient import TestClient

from ml_assets.freshness import Freshness
from ml_assets.online.build import build_view
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.tables import PushedTable
from ml_assets.serving.declared import Declarations
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.prediction.readiness import Readiness
from ml_assets.serving.spec import ServingSpec
from ml_assets_tests.serving.conftest import NOON, ROUTE

HOUR = timedelta(hours=1) // timedelta(microseconds=1)
DRIVES = pl.LazyFrame(schema={"courier": pl.String, "driven_at": pl.Datetime("us", "UTC"), "length": pl.Float64})


def late_with(declared, **serving):
    freshness = {"route": Freshness(warn="2h", fail="4h")}
    late = declared.models["late"].model_copy(update={"serving": ServingSpec(**serving), "freshness": freshness})
    return Declarations(models={"late": late})


@pytest.fixture
def bare(tmp_path):
    made = open_store(f"sqlite:///{tmp_path}/bare.db")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("serving", "hours", "why"),
    [
        # Values that are null make a model unready, stale ones only where they are required to be fresh.
        ({}, 0, ""),
        ({}, 23.9, ""),
        ({}, 24, "is expired"),
        ({}, -0.1, "is missing"),
        ({"require": {}}, 3.9, ""),
        ({"require": {}}, 4, "is stale: nothing is reported after 2024-01-31 12:00:00+00:00"),
        ({"require": {"views": ["route"], "state": "stale"}}, 4, "is stale"),
        ({"require": {"views": ["other"]}}, 4, ""),
        # What has a fallback answers all the same.
        ({"require": {"fallback": {"constant": 0.5}}}, 24, ""),
        # Where requests name their moments there is none to compare with.
        ({"require": {}}, None, ""),
    ],
)
def test_a_model_is_ready_while_what_it_looks_up_is_there(declared, store, noon, serving, hours, why):
    readiness = Readiness(late_with(declared, **serving), store)
    readiness.look(None if hours is None else noon + round(hours * HOUR))
    reason = readiness.reason("late")
    assert reason == readiness.reason()
    assert (reason.startswith("late: feature view route ") and why in reason) if why else reason == ""


@pytest.mark.parametrize("hours", [0, None])
def test_an_empty_store_is_not_ready_until_it_is_built(declared, bare, noon, hours):
    readiness = Readiness(late_with(declared), bare)
    at = None if hours is None else noon
    readiness.look(at)
    assert readiness.reason() == "late: feature view route is missing"
    other = ROUTE.model_copy(update={"latest": {"km": "length * 2"}})
    for view in (other, ROUTE):
        assert readiness.reason() == "late: feature view route is missing"
        build_view(bare, view, DRIVES, as_of=NOON, max_age=timedelta(days=1), build="b")
        readiness.look(at)
    assert readiness.reason() == ""


def test_a_store_out_of_reach_is_not_ready(declared, store, noon, monkeypatch):
    readiness = Readiness(late_with(declared), store)
    readiness.look(noon)

    def away(*_):
        raise StoreUnavailable("no route to it")

    with monkeypatch.context() as patch:
        patch.setattr(store, "build", away)
        readiness.look(noon)
        assert readiness.reason("late") == "late: no route to it"
    readiness.look(noon)
    assert readiness.reason() == ""


def test_each_change_is_one_line_of_the_log(declared, store, noon, caplog):
    readiness = Readiness(late_with(declared, require={}), store)
    table = PushedTable("drives", [ROUTE], None, timedelta())
    caplog.set_level(logging.INFO)

    def lines(hours):
        caplog.clear()
        readiness.look(noon + round(hours * HOUR))
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    stale = "feature view route is stale: nothing is reported after 2024-01-31 12:00:00+00:00"
    assert [lines(0), lines(1.9)] == [[], []]
    assert [lines(2), lines(3)] == [[("WARNING", stale)], []]
    assert lines(4) == [("WARNING", stale), ("WARNING", f"not ready: late: {stale}")]
    assert lines(5) == []
    table.push(store, [], arrived_at=noon + 5 * HOUR, complete_until=noon + 5 * HOUR)
    assert lines(5) == [("INFO", "feature view route is fresh"), ("INFO", "ready again: late")]
    assert [kind for kind, _ in lines(24)] == ["WARNING", "WARNING"]


def test_probes_indexes_and_metrics_say_which_model_is_not_ready(declared, registry, bare, noon):
    app = make_app(registry, ["late", "hours"], Limits(rows=50), late_with(declared), bare, clock=lambda: noon + HOUR)
    why = "late: feature view route is missing"
    with TestClient(app) as client:

        def answers(*paths):
            return [client.get(path).status_code for path in paths]

        def indexed():
            return {
                each["name"]: (each["state"], each["reason"]) for each in client.post("/v2/repository/index").json()
            }

        probes = ("/v2/health/ready", "/v2/models/late/ready", "/v2/models/late/versions/1/ready")
        assert answers(*probes) == [503] * 3
        assert {client.get(path).json()["error"] for path in probes} == {why}
        assert answers("/v2/health/live", "/v2/models/hours/ready", "/ping", "/health") == [200] * 4
        assert [client.get(f"/v1/models/{name}").json()["ready"] for name in ("late", "hours")] == [False, True]
        assert indexed() == {"late": ("UNAVAILABLE", why), "hours": ("READY", "")}
        metrics = client.get("/metrics").text
        assert 'ml_assets_view_state{state="missing",view="route"} 1.0' in metrics
        assert 'ml_assets_model_ready{model="late"} 0.0' in metrics
        assert "ml_assets_view_complete_until_seconds{" not in metrics
        build_view(bare, ROUTE, DRIVES, as_of=NOON, max_age=timedelta(days=1), build="b")
        assert answers(*probes) == [200] * 3
        assert client.get("/v1/models/late").json()["ready"] is True
        assert indexed()["late"] == ("READY", "")
        metrics = client.get("/metrics").text
        assert 'ml_assets_view_state{state="fresh",view="route"} 1.0' in metrics
        assert 'ml_assets_view_state{state="missing",view="route"} 0.0' in metrics
        (until,) = re.findall(r'ml_assets_view_complete_until_seconds{view="route"} (\S+)', metrics)
        assert float(until) == noon / 1e6
