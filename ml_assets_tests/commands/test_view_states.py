"""How online views stand in `ml-assets status`, from their store."""

import json
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import polars as pl
import pytest

from ml_assets.commands.lifecycle.status import ModelStatus, print_status, with_views
from ml_assets.commands.lifecycle.view_states import ViewStatus, view_lines, view_statuses
from ml_assets.declarations.specs import DeclaredView
from ml_assets.online.build import build_view
from ml_assets.online.stores.opening import open_store
from ml_assets.online.tables import PushedTable
from ml_assets.online.values.record import microseconds

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def view(name, **more):
    declared = {
        "name": name, "spine": "parcels", "description": "Drives.", "entity": ["courier"], "table": "drives",
        "known_at": "at", "latest": {"km": "km"}, "online": {"freshness": {"warn": "2h", "fail": "4h"}},
    }  # fmt: skip
    return DeclaredView.model_validate(declared | more)


BUILT, UNBUILT = view("built"), view("unbuilt")
OF_ROW = view("of_row", table=None, known_at=None, latest={}, entity=[], request={"km": "km"}, online=None)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/online.db"


@pytest.fixture
def store(url):
    made = open_store(url)
    drives = pl.LazyFrame(schema={"courier": pl.String, "at": pl.Datetime("us", "UTC"), "km": pl.Float64})
    build_view(made, BUILT, drives, as_of=NOON, max_age=6 * HOUR, build="b")
    yield made
    made.close()


def moment(hours):
    return (NOON + hours * HOUR).isoformat()


@pytest.mark.parametrize(
    ("now", "state", "since"),
    [(0, "fresh", 0), (1.9, "fresh", 0), (2, "stale", 2), (5.9, "stale", 2), (6, "expired", 6), (90, "expired", 6)],
)
@pytest.mark.usefixtures("store")
def test_a_view_stands_as_its_build_says(url, now, state, since):
    known, away = view_statuses([BUILT, UNBUILT, OF_ROW, BUILT], url, NOON + now * HOUR)
    assert away is None
    assert known == {
        "built": ViewStatus(view="built", state=state, since=moment(since), complete_until=moment(0)),
        "unbuilt": ViewStatus(view="unbuilt", state="missing", since=None, complete_until=None),
    }


def test_what_is_pushed_moves_it_on(url, store):
    until = microseconds(NOON + 3 * HOUR)
    PushedTable("drives", [BUILT], None, timedelta()).push(store, [], arrived_at=until, complete_until=until)
    for now, state, since in ((4, "fresh", 3), (5, "stale", 5)):
        known, _ = view_statuses([BUILT], url, NOON + now * HOUR)
        assert known["built"] == ViewStatus(view="built", state=state, since=moment(since), complete_until=moment(3))
    other = view("built", latest={"km": "km", "last": "km"})
    known, _ = view_statuses([other], url, NOON + HOUR)
    assert known["built"].state == "missing"  # what was built is of another declaration


def test_a_store_that_is_not_there_is_not_made(url, tmp_path):
    known, away = view_statuses([BUILT], url, NOON)
    assert ([each.state for each in known.values()], away, [*tmp_path.iterdir()]) == (["missing"], None, [])
    assert view_statuses([OF_ROW], url, NOON) == ({}, None)


def test_a_store_out_of_reach_says_so():
    known, away = view_statuses([BUILT], "redis://127.0.0.1:1/0", NOON)
    assert known == {}
    assert away


class Declared:
    """Models over views, as far as the status reads a project."""

    models: ClassVar = {"late": ["built", "of_row", "unbuilt"], "plain": ["of_row"], "untrained": ["built"]}

    def views_of(self, names):
        return [{"built": BUILT, "unbuilt": UNBUILT, "of_row": OF_ROW}[name] for name in names]


def model(name, **more):
    unknown = dict.fromkeys(
        each for each in ModelStatus.model_fields if each not in ("horizons", "views", "views_away")
    )
    known = {"model": name, "metric": "auc", "freshness": "none", "next_step": "wait", "champion": "3"}
    return ModelStatus.model_validate(unknown | known | more)


@pytest.mark.usefixtures("store")
def test_the_status_of_served_models_has_their_online_views(url, capsys):
    models = [model("late"), model("plain"), model("untrained", champion=None)]
    late, plain, untrained = with_views(models, Declared(), url, NOON + 3 * HOUR)
    assert [(each.view, each.state) for each in late.views] == [("built", "stale"), ("unbuilt", "missing")]
    assert (plain.views, untrained.views, late.views_away) == ([], [], None)
    print_status([late, plain], as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["views"][0] == {
        "view": "built", "state": "stale", "since": moment(2), "complete_until": moment(0),
    }  # fmt: skip
    print_status([late, plain], as_json=False)
    printed = capsys.readouterr().out
    assert "online views missing: unbuilt\n" in printed
    assert "online views stale since" in printed
    away = with_views(models[:2], Declared(), "redis://127.0.0.1:1/0", NOON)
    assert (away[0].views, bool(away[0].views_away), away[1].views_away) == ([], True, None)


def test_views_that_stand_alike_share_a_line():
    stale = [ViewStatus(view=name, state="stale", since="S", complete_until="C") for name in ("a", "b")]
    missing = ViewStatus(view="c", state="missing", since=None, complete_until=None)
    assert view_lines([stale[0], missing, stale[1]]) == [
        "online views missing: c", "online views stale since S, complete until C: a, b",
    ]  # fmt: skip
    assert view_lines([]) == []
