"""``ml-assets``: live through a use case, look at it, open its UIs."""

from pathlib import Path
from typing import Annotated

import typer

from ml_assets.commands.exits import Program
from ml_assets.commands.experiment.command import replay, try_out
from ml_assets.commands.files.command import drift, test
from ml_assets.commands.hand_over.command import feast_export, package
from ml_assets.commands.init.command import init
from ml_assets.commands.lifecycle.alerts import alerts
from ml_assets.commands.lifecycle.command import rollback, run, status, summary, why
from ml_assets.commands.lifecycle.governance import approve, card, refuse
from ml_assets.commands.reference.fields import fields
from ml_assets.commands.reference.settings import settings
from ml_assets.commands.serving.command import online, push, score, serve, served, spool, stream
from ml_assets.commands.serving.keys import keys
from ml_assets.commands.session import Session
from ml_assets.commands.ui.command import mlflow, ui
from ml_assets.commands.ui.console import console

app = typer.Typer(
    cls=Program,
    help="Self-hosted ML for tabular data: from raw data to retraining, as Dagster assets. "
    "All state lies under ML_ASSETS_HOME (default .ml_assets in the project). "
    "Exit status: 0 done, 1 failed, 2 wrong usage or declaration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def choose_project(
    context: typer.Context,
    project: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the project; default: ML_ASSETS_PROJECT, or the one that the working directory lies in."
        ),
    ] = None,
) -> None:
    # No docstring: it would take the place of the program's own help.
    context.obj = Session(project)


app.command()(init)
app.command()(run)
app.command("try")(try_out)
app.command()(summary)
app.command()(status)
app.command()(approve)
app.command()(refuse)
app.command()(why)
app.command()(rollback)
app.command()(card)
app.command()(replay)
app.command()(drift)
app.command()(test)
app.command()(online)
app.command()(score)
app.command()(serve)
app.command()(push)
app.command()(stream)
app.add_typer(keys, name="keys")
app.add_typer(alerts, name="alerts")
app.command()(spool)
app.command()(served)
app.command()(package)
app.command("feast-export")(feast_export)
app.command()(ui)
app.command()(console)
app.command()(mlflow)
app.command()(settings)
app.command()(fields)
