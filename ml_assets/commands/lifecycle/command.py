"""``run``, ``summary``, ``status`` and ``rollback``."""

from typing import Annotated

import typer

from ml_assets.commands.options import Json, Models, UseCase
from ml_assets.commands.session import session_of


def run(
    context: typer.Context,
    use_case: UseCase,
    train_as_of: Annotated[
        str,
        typer.Option(help="Training cut-off, an ISO date: earlier drops are history, later ones arrive in turn."),
    ],
    since: Annotated[str, typer.Option(help="First drop to live through; default: the first declared.")] = "",
    until: Annotated[str, typer.Option(help="Last drop to live through; default: the last declared.")] = "",
    model: Models = None,
    as_json: Json = False,
) -> None:
    """Ingest history, train, then let each later drop arrive: validate, featurize, score, monitor.

    A run whose code and deliveries have not changed since it last succeeded is skipped, so running this again after
    a kill goes on where it stood.
    """
    from ml_assets.commands.lifecycle.main_job import MainJob

    session = session_of(context)
    home = session.prepare_home()
    definitions = session.load_definitions(use_case)
    MainJob(home, use_case, tuple(model or ()), definitions).live(train_as_of, since, until, as_json)


def summary(context: typer.Context, use_case: UseCase, model: Models = None, as_json: Json = False) -> None:
    """Show, per model and drop: rows, quarantined rows, strongest drift, performance, champion version."""
    from ml_assets.commands.lifecycle.summary import show_summary

    session = session_of(context)
    home = session.open_home()
    show_summary(home, session.read_declarations(), use_case, model or (), as_json)


def status(context: typer.Context, as_json: Json = False) -> None:
    """Show a few lines per model: champion, last score, drift, performance, online views, last decision, next step.

    Then a line for each stream that facts were read from.
    """
    from datetime import UTC, datetime

    from ml_assets.automation.run_records import open_run_records
    from ml_assets.commands.lifecycle.status import print_status, print_streams, project_status, with_views
    from ml_assets.declarations.problems import DeclarationError
    from ml_assets.lake import Lake
    from ml_assets.streams.state import read_states

    session = session_of(context)
    home = session.open_home()
    declared = session.read_declarations()
    registry, records = session.open_registry(home), open_run_records(home)
    now = datetime.now(UTC)
    statuses, wrong = project_status(declared, Lake(home.lake), registry, records, now)
    statuses = with_views(statuses, declared, home.online_store, now)
    if statuses or as_json or not wrong:
        print_status(statuses, as_json)
    if not as_json:
        print_streams(read_states(home.streams))
    if wrong:
        raise (DeclarationError if declared.faults else LookupError)("\n".join(wrong))


def why(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model whose performance is asked about.")],
    drop: Annotated[str, typer.Option(help="Drop to look at; default: the last one with scored rows.")] = "",
    as_json: Json = False,
) -> None:
    """Show why a model did worse on a drop than on its reference: causes in order, each with its evidence.

    Slices that lost most, what comes with changed inputs and what with a changed relation, features that moved,
    changed units, and what happened to the deliveries of their sources.
    """
    from ml_assets.automation.run_records import open_run_records
    from ml_assets.commands.lifecycle.why import find_why, print_why
    from ml_assets.lake import Lake
    from ml_assets.modelling.performance.diagnosis.origins import Upstream
    from ml_assets.public.project import Project

    session = session_of(context)
    home = session.open_home()
    declared = session.read_declarations(model)
    declared.model(model)
    lake, registry, records = Lake(home.lake), session.open_registry(home), open_run_records(home)
    own = Project(session.project.folder, declared, lake, lambda: registry).context(model)
    upstream = Upstream(list(declared.sources.values()), lambda table: records.lineage(table.split("/")))
    print_why(find_why(lake, registry, own, drop or None, upstream), as_json)


def rollback(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model to roll back.")],
    to: Annotated[str, typer.Option(help="Version to serve again; default: the one that the champion replaced.")] = "",
) -> None:
    """Let an earlier champion serve again, at once. The next decision to retrain waits out its cooldown."""
    from datetime import UTC, datetime

    from ml_assets.commands.lifecycle.roll_back import roll_back
    from ml_assets.notifications.opening import open_channels
    from ml_assets.notifications.send import notify

    session = session_of(context)
    home = session.open_home()
    notice = roll_back(home, session.open_registry(home), model, to or None, datetime.now(UTC))
    typer.echo(notice.headline)
    # The first channel is the log; the command line says it itself.
    notify(open_channels(session.settings.notifications)[1:], notice)
