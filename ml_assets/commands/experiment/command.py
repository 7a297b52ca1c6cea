"""``try`` and ``replay``."""

from pathlib import Path
from typing import Annotated

import typer

from ml_assets.commands.options import Json
from ml_assets.commands.session import loading_a_project, session_of


def try_out(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Declared model to try.")],
    rows: Annotated[int, typer.Option(help="Labelled rows to try it on, drawn from the whole history.")] = 20_000,
    as_json: Json = False,
) -> None:
    """Go from declaration to holdout metrics in memory and name the features that predict suspiciously well alone.

    Nothing is registered. Tables that are not in the lake yet are read from their source. Where the home exists, what
    came of it is kept as one row of the table `MODEL/tries`, for the console to compare with trainings.
    """
    import json
    from datetime import UTC, datetime

    from ml_assets.automation.projects import find_model
    from ml_assets.commands.experiment import trial
    from ml_assets.commands.experiment.blame import blame_declaration
    from ml_assets.commands.terminal import open_terminal
    from ml_assets.lake import Lake
    from ml_assets.training.records.tried import keep_try

    session = session_of(context)
    kept = session.open_home().root.exists()
    with session.borrow_home() as home:
        definitions, lake = session.load_definitions(model=model), Lake(home.lake)
        with blame_declaration(definitions, model):
            tried = trial.try_model(definitions, lake, find_model(definitions, model), rows)
        if kept:
            keep_try(lake, tried.record(datetime.now(UTC)))
    if as_json:
        typer.echo(json.dumps(trial.as_json(tried), indent=2))
    else:
        trial.print_trial(open_terminal(), tried)


def replay(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model whose history is lived again.")],
    first: Annotated[str, typer.Option("--from", help="First drop to live through, such as 2013-04.")],
    last: Annotated[str, typer.Option("--to", help="Last drop to live through.")],
    policies: Annotated[
        str, typer.Option(help="Policies to compare: never, monthly, every-drop, evidence, or one kind of evidence.")
    ] = "never,monthly,every-drop,evidence",
    html: Annotated[Path | None, typer.Option(help="Also write a page with the timelines.")] = None,
    as_json: Json = False,
) -> None:
    """Live history again under several retraining policies, each step knowing only what was known then.

    What has been worked out is kept under the home, so a killed replay goes on where it stood; what came of it becomes
    a row of the table `MODEL/replays`, for the console.
    """
    import json
    from datetime import UTC, datetime

    from ml_assets.commands.experiment.replay_job import run_replay
    from ml_assets.commands.experiment.replay_print import print_replay
    from ml_assets.commands.terminal import open_terminal
    from ml_assets.lake import Lake
    from ml_assets.retraining.replay.lived import CONFIDENCE
    from ml_assets.retraining.replay.record import keep_replay, record_replay
    from ml_assets.retraining.replay.report import as_json as to_json
    from ml_assets.retraining.replay.report import render_replay
    from ml_assets.training.tasks import find_metric

    session = session_of(context)
    home, console = session.prepare_home(), open_terminal(to_errors=as_json)
    with loading_a_project():
        project = session.read_declarations(model)
    declared = project.model(model)
    lived = run_replay(project, session.project.folder, home, declared, first, last, policies.split(","), console)
    metric, now = declared.watched_metric, datetime.now(UTC)
    better = find_metric(metric).greater_is_better
    record = record_replay(model, metric, lived, greater_is_better=better, confidence=CONFIDENCE, replayed_at=now)
    keep_replay(Lake(home.lake), record)
    if html is not None:
        html.write_text(render_replay(model, metric, lived), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(to_json(model, metric, lived), indent=2))
    else:
        print_replay(console, model, metric, lived)
