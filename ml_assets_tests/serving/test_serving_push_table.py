"""Rows that are pushed by table over HTTP."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from starlette.testclient import TestClient

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.stores.errors import OutcomeUnknown, StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds
from ml_assets.serving.access.admission import Admission
from ml_assets.serving.access.key_file import KeyFile
from ml_assets.serving.declared import Declarations, OnlineTable, OnlineView, RequestField
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
DRIVES = FeatureViewSpec(
    name="drives", description="Drives.", entity=["courier"], table="fleet/validated", known_at="at", windows=["2h"],
    aggregates={"km": {"of": "km", "functions": ["sum"]}},
)  # fmt: skip
FIELDS = [
    RequestField(name="courier", kind="text", dtype="String"),
    RequestField(name="at", kind="moment", dtype="Datetime"),
    RequestField(name="km", kind="number", dtype="Float64"),
]
PATH = "/v1/push/table/fleet/validated"
ROW = {"courier": "ann", "at": "2024-01-31T12:00:00Z", "km": 2.0}


class NoVersions:
    """A registry without models."""

    def champion(self, name):
        raise LookupError(name)


@pytest.fixture
def store(tmp_path):
    made = open_store(f"sqlite:///{tmp_path}/online.db")
    table = pl.LazyFrame(schema={"courier": pl.String, "at": pl.Datetime("us", "UTC"), "km": pl.Float64})
    build_view(made, DRIVES, table, as_of=NOON, max_age=timedelta(days=1), build="b")
    return made


def make_client(store, limits, clock=NOON, **more):
    table = OnlineTable(table="fleet/validated", views=[DRIVES], fields=FIELDS)
    declared = Declarations(
        tables={"fleet/validated": table}, online={"drives": OnlineView(view=DRIVES, fields=FIELDS)}
    )
    return TestClient(make_app(NoVersions(), [], limits, declared, store, clock=lambda: microseconds(clock), **more))


@pytest.fixture
def client(store):
    with make_client(store, Limits(rows=50)) as opened:
        yield opened


def km(store):
    (fetched,) = OnlineFeatures(store, [DRIVES]).fetch([{"courier": "ann"}], microseconds(NOON))
    return fetched.values["km_sum_2h"]


def test_rows_are_pushed_refused_and_taken_back(client, store):
    done = client.post(PATH, json={"rows": [ROW, ROW | {"km": "far"}]})
    assert done.json() == {
        "table": "fleet/validated", "rows": 1, "retracted": 0, "views": {"drives": 1}, "repeated": False,
        "complete_until": {"drives": NOON.isoformat()},
        "refused": [{"row": 1, "rules": "km: it must be a finite number", "columns": "km"}],
    }  # fmt: skip
    assert km(store) == 2.0
    done = client.post(PATH, json={"rows": [ROW | {"km": 3.0}], "retract": [ROW]})
    assert (done.status_code, done.json()["retracted"], km(store)) == (200, 1, 3.0)


def test_the_name_of_the_key_lies_beside_what_was_pushed_with_it(store, tmp_path):
    file = KeyFile(tmp_path / "api_keys.json")
    headers = {name: {"authorization": f"Bearer {file.add(name, ['push'])[1]}"} for name in ("ann", "ben")}
    with make_client(store, Limits(rows=50), admission=Admission(file=file)) as client:
        assert client.post(PATH, json={"rows": [ROW, ROW | {"km": "far"}]}, headers=headers["ann"]).status_code == 200
        assert client.post(PATH, json={"rows": [ROW], "retract": [ROW]}, headers=headers["ben"]).status_code == 200
        assert client.post("/v1/push/drives", json={"rows": [ROW]}, headers=headers["ben"]).status_code == 200
    with make_client(store, Limits(rows=50)) as client:
        assert client.post(PATH, json={"rows": [ROW, ROW | {"km": "far"}]}).status_code == 200
    names = [row.api_key for row in store.pushed_since("drives", 0)]
    assert names == ["ann", "ben", "ben", "ben", None]
    assert [row.api_key for _, _, row in store.refused_since("fleet/validated", 0)] == ["ann", None]


def test_a_retry_with_its_key_counts_once(client, store):
    for repeated in (False, True):
        done = client.post(PATH, json={"rows": [ROW]}, headers={"Idempotency-Key": "one"})
        assert done.json()["repeated"] is repeated
        assert done.json()["complete_until"] == {"drives": NOON.isoformat()}
    assert km(store) == 2.0
    other = client.post(PATH, json={"rows": [ROW, ROW]}, headers={"Idempotency-Key": "one"})
    assert (other.status_code, "came with other rows before" in other.json()["error"]) == (422, True)


def test_a_retry_counts_once_in_a_replay_that_has_gone_on_by_days(store):
    with make_client(store, Limits(replay=True), NOON + timedelta(days=3650)) as client:
        for as_of, key, repeated in ((NOON, "a", False), (NOON + timedelta(days=3), "b", False), (NOON, "a", True)):
            body = {"rows": [ROW], "as_of": as_of.isoformat()}
            assert client.post(PATH, json=body, headers={"Idempotency-Key": key}).json()["repeated"] is repeated
    assert km(store) == 4.0


def test_a_heartbeat_needs_no_rows(client, store):
    """Nobody drove until then: what a request of later is answered rests on that."""
    features, evening = OnlineFeatures(store, [DRIVES]), microseconds(NOON + timedelta(hours=18))
    for until, state in ((None, "stale"), ("2024-01-31T12:04:00Z", "fresh")):
        if until:
            done = client.post(PATH, json={"complete_until": until})
            assert (done.status_code, done.json()["rows"]) == (200, 0), done.text
            assert done.json()["complete_until"] == {"drives": "2024-01-31T12:04:00+00:00"}
            by_view = client.post("/v1/push/drives", json={"rows": [ROW]}).json()
            assert by_view["complete_until"] == "2024-01-31T12:04:00+00:00"
        (fetched,) = features.fetch([{"courier": "ann"}], evening)
        assert fetched.states["drives"].replace("unseen", "fresh") == state
        known = microseconds(NOON + timedelta(minutes=4 if until else 0))
        assert fetched.complete_until["drives"] == known


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("/v1/push/table/fleet", {"rows": [ROW]}, 404, "no view of table 'fleet' is online; there are fleet/validated"),
        (PATH, {"rows": []}, 400, "rows: there is none, none to retract, and no complete_until"),
        (PATH, {"rows": [3]}, 400, "rows: must be a list of objects"),
        (PATH, {"retract": 3}, 400, "retract: must be a list of objects"),
        (PATH, {}, 400, "rows: must be a list of objects"),
        (PATH, {"rows": [ROW] * 51}, 413, "51 rows are more than 50"),
        (
            PATH,
            {"rows": [ROW], "as_of": "2024-01-31T12:00:00Z"},
            400,
            "retract, complete_until and not 'as_of'",
        ),
        (PATH, {"complete_until": "noon"}, 400, "complete_until: must be a moment"),
        (PATH, {"complete_until": "2024-01-31T12:06:00Z"}, 422, "not more than 0:05:00 after the push"),
        (PATH, {"retract": [ROW]}, 422, "is not there to be taken back"),
        (PATH, {"retract": [ROW], "rows": [ROW | {"km": "far"}]}, 422, "rows 0: km: it must be a finite number"),
    ],
)
def test_what_cannot_be_pushed_is_refused_with_the_reason(client, store, path, body, status, why):
    done = client.post(path, json=body)
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text
    assert km(store) is None


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OutcomeUnknown("lost"), "whether the facts are taken is not known: lost"),
        (StoreUnavailable("gone"), "the facts are not taken, try again: gone"),
    ],
)
def test_a_store_that_fails_is_answered_with_what_is_known(client, store, monkeypatch, error, why):
    def change_all(wanted):
        (alone,) = wanted
        alone.error, alone.done = error, True

    monkeypatch.setattr(store, "change_all", change_all)
    done = client.post(PATH, json={"rows": [ROW]})
    assert (done.status_code, done.json()["error"]) == (503, why)


def test_the_route_is_described_and_takes_nothing_but_post(client):
    operation = client.get("/openapi.json").json()["paths"][PATH]["post"]
    assert "courier (text), at (moment), km (number)" in operation["description"]
    assert client.get(PATH).status_code == 405
