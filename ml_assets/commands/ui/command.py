"""``ui`` and ``mlflow``."""

from typing import Annotated

import typer

from ml_assets.commands.options import Host, Port
from ml_assets.commands.session import session_of
from ml_assets.commands.ui import programs
from ml_assets.commands.ui.beside import open_beside
from ml_assets.environment import MLFLOW_SERVER, hand_down, set_defaults


def ui(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 3000,
    use_case: Annotated[
        list[str] | None,
        typer.Option(help="Use case whose drops are looked for; may be given several times. Default: those run here."),
    ] = None,
    console_port: Annotated[int, typer.Option(help="Port of the console beside it; 0 for none.")] = 3001,
) -> None:
    """Open Dagster's UI, with its daemon, over the same state, and the console beside it.

    Drops are looked for of the use cases that were run.
    """
    from ml_assets.commands.ui.begun import split_by_begun
    from ml_assets.lake import Lake

    session = session_of(context)
    home = session.prepare_home()
    watched, waiting = split_by_begun(session.read_declarations(), Lake(home.lake), use_case or ())
    hand_down(ML_ASSETS_BEGUN=",".join(watched))
    for name in waiting:
        typer.echo(
            f"{name} was not run here, so its drops are not looked for: `ml-assets ui --use-case {name}` does so, or "
            f"start the sensor {name}_drops in the UI"
        )
    if console_port:
        open_beside(session, console_port)
    workspace = str(session.project.workspace)
    programs.run_program("dagster", "dev", "-w", workspace, "-h", host, "-p", str(port))


def mlflow(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 5000,
    browser: Annotated[bool, typer.Option("--open", help="Also open the page in a browser.")] = False,
) -> None:
    """Open MLflow's UI over the same state, and say where the trainings are shown.

    Where ML_ASSETS_MLFLOW names a server, that one shows them: none is started.
    """
    from ml_assets.commands.ui.mlflow_page import open_when_there, training_page

    session = session_of(context)
    home = session.prepare_home()
    away = home.mlflow.startswith("http")
    page = training_page(session.open_registry(home), home.mlflow if away else f"http://{host}:{port}")
    typer.echo(f"Trainings: {page}")
    if browser:
        open_when_there(page)
    if not away:
        set_defaults(MLFLOW_SERVER)
        programs.run_program(
            "mlflow", "server", "--backend-store-uri", home.mlflow, "--artifacts-destination", home.mlflow_artifacts,
            "--host", host, "--port", str(port), "--workers", "1",
        )  # fmt: skip
