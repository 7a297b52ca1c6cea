"""A challenger on real requests: shares of keys that it answers, and what it would have said."""

import threading
import time
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.rollout.challenger import is_canary
from ml_assets_tests.serving.spooled import SpooledLog

ROWS = [{"parcel": number, "courier": "bob", "express": False} for number in range(50)]
FEATURES = {"km": 90.0, "courier": "bob", "express": False}


def said(model) -> float:
    predictor = Predictor(model)
    return predictor.predict(predictor.encode_rows([FEATURES] * 50))["score"][0]


@pytest.fixture
def serve(registry, store, noon, tmp_path):
    """Opens a server over declarations; gives its client and the rows that it logs."""

    def open_client(declared):
        log = SpooledLog(tmp_path / "spool")
        app = make_app(
            registry, ["late"], Limits(look_every=0.01), declared, store, clock=lambda: noon, open_log=log.open
        )
        client = opened.enter_context(TestClient(app))
        return client, log

    with ExitStack() as opened:
        yield open_client


def wait_until(holds):
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def ask(client, rows=ROWS, path="/v1/models/late/predict"):
    done = client.post(path, json={"rows": rows})
    assert done.status_code == 200, done.text
    return done.json()


def test_each_row_is_answered_by_the_side_of_its_key(registry, tried, serve, models, other):
    registry.challengers["late"] = "2"
    client, _ = serve(tried(canary=0.3))
    answer = ask(client)
    assert (answer["version"], answer["role"]) == ("1", "champion")
    scores = {"champion": said(models["late"]), "canary": said(other)}
    assert scores["champion"] != scores["canary"]
    sides = [is_canary("late", [row["parcel"]], 0.3) for row in ROWS]
    assert 5 < sum(sides) < 25
    for side, prediction in zip(sides, answer["predictions"], strict=True):
        role = "canary" if side else "champion"
        assert prediction.get("role", "champion") == role
        assert prediction.get("version", "1") == ("2" if side else "1")
        assert prediction["score"] == pytest.approx(scores[role], abs=1e-6)


def test_without_a_challenger_or_with_a_named_version_the_champion_answers(registry, tried, serve):
    client, _ = serve(tried(canary=0.5))
    assert not [one for one in ask(client)["predictions"] if "role" in one]
    registry.challengers["late"] = "2"
    while not any("role" in one for one in ask(client)["predictions"]):
        pass
    pinned = ask(client, path="/v1/models/late/versions/1/predict")
    assert not [one for one in pinned["predictions"] if "role" in one]


def test_the_shadow_is_logged_and_answers_nobody(registry, tried, serve, models, other):
    registry.challengers["late"] = "2"
    client, log = serve(tried(shadow=True))
    answer = ask(client, ROWS[:3])
    assert [one["score"] for one in answer["predictions"]] == pytest.approx([said(models["late"])] * 3, abs=1e-6)
    assert not [one for one in answer["predictions"] if "role" in one]
    wait_until(lambda: len(log.rows()) == 6)
    logged = log.rows()
    by_role = {role: [row for row in logged if row["role"] == role] for role in ("champion", "shadow")}
    for role, version, model in (("champion", "1", models["late"]), ("shadow", "2", other)):
        rows = sorted(by_role[role], key=lambda row: row["row"])
        assert [row["row"] for row in rows] == [0, 1, 2]
        assert {(row["request_id"], row["model_version"]) for row in rows} == {(answer["request_id"], version)}
        assert [row["score"] for row in rows] == pytest.approx([said(model)] * 3, abs=1e-6)


@pytest.mark.slow
def test_a_shadow_that_hangs_or_fails_delays_and_changes_no_answer(registry, tried, serve, monkeypatch):
    registry.challengers["late"] = "2"
    load, challengers = registry.load, []

    def load_and_note(name, *, version):
        model = load(name, version=version)
        if version == "2":
            challengers.append(model)
        return model

    registry.load = load_and_note
    client, log = serve(tried(shadow=True))
    go, predict = threading.Event(), Predictor.predict

    def broken(self, matrix):
        if any(self.model is each for each in challengers):
            go.wait(20)
            raise ValueError("no memory")
        return predict(self, matrix)

    monkeypatch.setattr(Predictor, "predict", broken)
    for _ in range(1_100):
        ask(client, ROWS[:1])
    told = client.get("/metrics").text.splitlines()
    (dropped,) = [float(line.split()[-1]) for line in told if line.startswith("ml_assets_shadow_dropped_total")]
    assert 90 <= dropped <= 100, "1000 wait, one is at work, and the others are dropped"
    go.set()
    wait_until(lambda: "ml_assets_shadow_failed_total 1" in client.get("/metrics").text)
    logged = log.rows()
    assert len(logged) == 1_100
    assert {row["role"] for row in logged} == {"champion"}


def test_versions_are_looked_for_and_loaded_by_one_thread(registry, monkeypatch):
    app, looked = make_app(registry, ["late"], Limits(look_every=0.01)), []
    find = registry.champion
    monkeypatch.setattr(registry, "champion", lambda name: looked.append(threading.current_thread().name) or find(name))
    with TestClient(app):
        wait_until(lambda: len(looked) > 3)
    assert set(looked) == {"champions_0"}, "each thread keeps what it took to load a version"
