"""A page is opened when its server answers, whatever it answers; nobody waits for it forever."""

import urllib.error
from email.message import Message

import pytest

from ml_assets.commands.ui import mlflow_page

AWAY = ConnectionRefusedError("nobody listens")


class Answer:
    def close(self) -> None: ...


@pytest.mark.parametrize("last", [Answer(), urllib.error.HTTPError("http://here", 403, "no", Message(), None)])
def test_the_page_is_opened_when_the_server_answers(monkeypatch, last):
    outcomes, pauses = [AWAY, AWAY, last], []

    def call(*_, **__):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("urllib.request.urlopen", call)
    monkeypatch.setattr("time.sleep", pauses.append)
    mlflow_page._wait_for("http://here")
    assert (outcomes, pauses) == ([], [0.5, 0.5])


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    asked = []

    def call(*_, **__):
        asked.append(1)
        raise AWAY

    monkeypatch.setattr("urllib.request.urlopen", call)
    monkeypatch.setattr(mlflow_page, "WAIT_SECONDS", 0)
    mlflow_page._wait_for("http://here")
    assert asked == [1]
