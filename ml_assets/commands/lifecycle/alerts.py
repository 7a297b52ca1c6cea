"""``alerts list``, ``alerts look``, ``alerts ack`` and ``alerts silence``."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ml_assets.commands.options import Json
from ml_assets.commands.session import session_of

alerts = typer.Typer(
    no_args_is_help=True,
    help="Alerts that declared rules have opened: what is open, who takes it up, and what nobody is to hear of.",
)

AlertId = Annotated[str, typer.Argument(help="Identity of the alert, or the beginning of it.")]
By = Annotated[str, typer.Option(help="Who does it; it is kept.")]


@alerts.command("list")
def list_alerts(
    context: typer.Context,
    subject: Annotated[str, typer.Option("--of", help="Model or source; default: all.")] = "",
    past: Annotated[bool, typer.Option("--past", help="Those that have ended, instead of the open ones.")] = False,
    as_json: Json = False,
) -> None:
    """List the open alerts, the gravest first: value and limit, since when, who answers for it, who took it up."""
    import json

    from ml_assets.alerts.store import open_alerts, past_alerts
    from ml_assets.commands.lifecycle.alert_lines import alert_lines
    from ml_assets.lake import Lake

    lake, now = Lake(session_of(context).open_home().lake), datetime.now(UTC)
    shown = past_alerts(lake, subject=subject or None) if past else open_alerts(lake, subject=subject or None)
    if as_json:
        typer.echo(json.dumps({"alerts": [alert.model_dump(mode="json") for alert in shown]}))
        return
    for line in alert_lines(shown, now) or ["no alert has ended" if past else "no alert is open"]:
        typer.echo(line)


@alerts.command("look")
def look(
    context: typer.Context,
    as_of: Annotated[str, typer.Option(help="Moment to judge as of, ISO 8601; default: now.")] = "",
    as_json: Json = False,
) -> None:
    """Judge all declared rules once and send what they find, as Dagster's sensor does: for other schedulers."""
    import json

    from ml_assets.alerts.look import look_at_rules
    from ml_assets.alerts.store import check_not_before_judged
    from ml_assets.commands.lifecycle.alert_lines import look_lines
    from ml_assets.lake import Lake
    from ml_assets.notifications.opening import open_channels
    from ml_assets.observations.observe import observe_project

    session = session_of(context)
    lake, project = Lake(session.open_home().lake), session.read_declarations()
    moment = datetime.fromisoformat(as_of) if as_of else datetime.now(UTC)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    check_not_before_judged(lake, moment)
    # The first channel is the log; the command line says it itself.
    channels = open_channels(session.settings.notifications)[1:]
    found = look_at_rules(lake, observe_project(lake, project, moment), channels, moment)
    if as_json:
        events = [event.model_dump(mode="json") for event in (*found.judged.events, *found.sent)]
        unknown = [{"subject": named[1], "rule": named[2], "why": why} for named, why in found.judged.unknown.items()]
        typer.echo(json.dumps({"events": events, "not_judged": unknown}))
        return
    for line in look_lines(found):
        typer.echo(line)


@alerts.command("ack")
def acknowledge_alert(
    context: typer.Context,
    alert: AlertId,
    by: By,
    because: Annotated[str, typer.Option(help="What you know of it; it is kept.")] = "",
) -> None:
    """Take an alert up: it is sent again only where it gets worse."""
    from ml_assets.alerts.store import acknowledge
    from ml_assets.lake import Lake

    lake = Lake(session_of(context).open_home().lake)
    event = acknowledge(lake, alert, at=datetime.now(UTC), by=by, because=because)
    typer.echo(f"{event.alert}: {event.subject} {event.rule} is taken up by {event.by}")


@alerts.command("silence")
def silence_alert(
    context: typer.Context,
    alert: AlertId,
    for_time: Annotated[str, typer.Option("--for", help="How long, such as 3d or 12h.")],
    by: By,
    because: Annotated[str, typer.Option(help="Why; it is kept.")],
) -> None:
    """Let nobody hear of an alert, and of what its rule finds on the same subject, for a time."""
    from ml_assets.alerts.store import silence
    from ml_assets.durations import parse_duration
    from ml_assets.lake import Lake

    lake, now = Lake(session_of(context).open_home().lake), datetime.now(UTC)
    event = silence(lake, alert, at=now, until=now + parse_duration(for_time), by=by, because=because)
    typer.echo(f"{event.alert}: {event.subject} {event.rule} is silent until {event.until:%Y-%m-%d %H:%M} UTC")
