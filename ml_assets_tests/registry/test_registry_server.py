"""An MLflow server that is away, or goes away: one line, and no waiting for minutes."""

import http.server
import socket
import threading

import pytest

from ml_assets.environment import MLFLOW_SERVING
from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.registry.store import server
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.registry.store.server import RegistryAway, require_database


class Server(http.server.BaseHTTPRequestHandler):
    """Is there, and fails whatever else it is asked."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path.partition("?")[0])
        health = self.path == "/health"
        self.send_response(200 if health else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def failing():
    """A server that answers nothing but that it is there; its address and what it was asked."""
    asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Server,), {"asked": asked})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.fixture
def silent():
    """An address where somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def refusing():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


CALLS = {
    "champion": lambda registry: registry.champion("m"),
    "versions": lambda registry: registry.versions("m"),
    "load": lambda registry: registry.load("m", alias="champion"),
    "stale runs": lambda registry: registry.close_stale_runs(["x"]),
    "roll back": lambda registry: registry.find_earlier("m"),
    "training": lambda registry: registry.training_run("m", RunOrigin()).__enter__(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_whatever_is_wanted_of_a_server_that_is_away_is_one_line(refusing, call):
    with pytest.raises(RegistryAway) as caught:
        call(Registry(refusing, None, "training"))
    told = f"MLflow at {refusing} does not answer (ConnectionError): start it, or see ML_ASSETS_MLFLOW"
    assert str(caught.value) == told


def test_a_server_that_never_answers_is_away_too_and_asked_once(silent, monkeypatch):
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.2)
    registry, looks = Registry(silent, None, "training"), []
    import requests

    get = requests.get
    monkeypatch.setattr(requests, "get", lambda *asked, **how: looks.append(asked) or get(*asked, **how))
    for name in ("a", "b", "c"):
        with pytest.raises(RegistryAway, match="does not answer"):
            registry.champion(name)
    assert len(looks) == 1


def test_a_server_that_fails_is_asked_a_few_times(failing, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    import_mlflow()
    address, asked = failing
    with pytest.raises(RegistryAway, match=f"MLflow at {address} does not answer"):
        Registry(address, None, "training").champion("m")
    assert asked[0] == "/health"
    assert len(asked) == 1 + 3


@pytest.fixture
def hanging():
    """A server that says that it is there and answers nothing else; its address and what it was asked."""
    asked, over = [], threading.Event()

    class Hanging(Server):
        def do_GET(self):
            if self.path == "/health":
                super().do_GET()
            else:
                self.asked.append(self.path)
                over.wait(60)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Hanging,), {"asked": asked})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        over.set()
        server.shutdown()
        thread.join()


def test_a_server_that_hangs_when_predictions_are_to_be_served_is_given_up(hanging, monkeypatch):
    seconds, again = (int(MLFLOW_SERVING[f"MLFLOW_HTTP_REQUEST_{each}"]) for each in ("TIMEOUT", "MAX_RETRIES"))
    assert seconds * (1 + again) < 10
    for name, value in (MLFLOW_SERVING | {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}).items():
        monkeypatch.setenv(name, value)
    address, asked = hanging
    with pytest.raises(RegistryAway, match=f"MLflow at {address} does not answer"):
        Registry(address, None, "training").champion("m")
    assert len(asked) == 1 + 1 + again


@pytest.mark.parametrize("kind", ["postgresql", "mysql+pymysql"])
def test_a_database_that_is_away_is_one_line_without_its_password(refusing, kind):
    address = refusing.removeprefix("http://")
    with pytest.raises(RegistryAway) as caught:
        Registry(f"{kind}://me:s3cret@{address}/mlflow", "/files", "training").champion("m")
    assert str(caught.value) == (
        f"MLflow's database at {address} does not answer (Connection refused): start it, or see ML_ASSETS_MLFLOW"
    )


def test_a_database_without_an_address_is_left_to_its_driver():
    require_database("postgresql:///mlflow")
    require_database("mssql+pyodbc://a_name_of_odbc")


def test_what_the_user_says_of_retries_holds(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    import os

    import_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
