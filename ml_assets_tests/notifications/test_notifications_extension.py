"""A channel of somebody's own is one class and one line of registration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from ml_assets.notifications.errors import NotSent
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.opening import CHANNELS, describe_channels, open_channels
from ml_assets.notifications.send import notify
from ml_assets.settings import read_settings

PAGER = "ML_ASSETS_NOTIFY_PAGER"
PAGED = []


@dataclass(frozen=True)
class Pager:
    """Pages somebody by number."""

    number: str = field(repr=False)
    name: str = "pager"

    variables: ClassVar[Mapping[str, str]] = {PAGER: "number that is paged"}

    @classmethod
    def from_variables(cls, variables):
        number = variables[PAGER]
        if number and not number.isdigit():
            raise ValueError(f"{PAGER} is malformed: write digits")
        return cls(number) if number else None

    def send(self, notice):
        if self.number == "0":
            raise NotSent("pager", "is switched off", again=False)
        PAGED.append((self.number, notice.headline))


@pytest.fixture(autouse=True)
def pager():
    CHANNELS.register("pager", Pager)
    yield
    CHANNELS.unregister("pager")
    PAGED.clear()


def test_it_is_opened_beside_the_others_from_its_variable(monkeypatch):
    monkeypatch.setenv(PAGER, " 117 ")
    channels = open_channels(read_settings().notifications)
    assert [channel.name for channel in channels] == ["log", "pager"]
    assert notify(channels[1:], Notice("failure", "run failed", "why", {})) == []
    assert PAGED == [("117", "run failed")]


def test_what_it_does_not_take_is_told_in_one_line():
    (failure,) = notify(open_channels({PAGER: "0"})[1:], Notice("failure", "run failed", "why", {}))
    assert failure.startswith("pager: the failure notice 'run failed' was not sent in 1 attempt: pager is switched off")


def test_a_malformed_declaration_names_the_variable():
    with pytest.raises(ValueError, match=f"{PAGER} is malformed: write digits"):
        open_channels({PAGER: "s3cret"})


def test_its_variable_is_described_and_masked():
    described = {one.name: one for one in describe_channels({PAGER: "117"})}
    assert described[PAGER].description == "number that is paged"
    assert "117" not in repr(described)


def test_documents_list_the_channels_that_ship_whatever_is_installed_beside_them():
    shipped = [one.name for one in describe_channels({}, CHANNELS.built_in_names())]
    assert PAGER not in shipped
    assert "ML_ASSETS_NOTIFY_WEBHOOK" in shipped
