"""`ml-assets alerts`: what is open, who takes it up, what nobody is to hear of."""

import json
from datetime import UTC, datetime

from typer.testing import CliRunner

from ml_assets.alerts.records import AlertEvent
from ml_assets.alerts.store import add_events, open_alerts
from ml_assets.cli import app
from ml_assets.lake import Lake

T0 = datetime(2024, 3, 1, tzinfo=UTC)


def run(*arguments):
    done = CliRunner().invoke(app, ["alerts", *arguments])
    return done.exit_code, done.output


def test_alerts_are_listed_taken_up_and_silenced(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("ML_ASSETS_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    assert run("list") == (0, "no alert is open\n")
    lake = Lake(str(home / "lake"))
    began = AlertEvent(
        alert="a1b2c3", kind="opened", at=T0, about="model", subject="returns", rule="drifted", evidence="drift",
        severity="critical", owners=("team:shop",), value=0.31, limit=0.2, text="price 0.31",
    )  # fmt: skip
    add_events(lake, [began], after=0)
    assert run("list", "--of", "returns")[1].splitlines() == [
        "a1b2c3  critical  returns: drifted (drift 0.31, limit 0.2)",
        "  price 0.31",
        "  since 2024-03-01 00:00 UTC; owners: team:shop",
    ]
    assert run("ack", "a1", "--by", "ana", "--because", "looking") == (
        0,
        "a1b2c3: returns drifted is taken up by ana\n",
    )
    assert run("silence", "a1b2c3", "--for", "3d", "--by", "ana", "--because", "sale")[0] == 0
    shown = json.loads(run("list", "--json")[1])["alerts"]
    assert [(each["state"], each["acknowledged_by"], each["silenced_because"]) for each in shown] == [
        ("acknowledged", "ana", "sale")
    ]
    assert "  taken up by ana: looking" in run("list")[1]
    assert run("list", "--past") == (0, "no alert has ended\n")
    assert run("ack", "zz", "--by", "ana")[0] == 1
    assert open_alerts(lake)[0].is_silent(datetime.now(UTC))
