"""``package`` and ``feast-export``."""

from pathlib import Path
from typing import Annotated

import typer

from ml_assets.commands.options import Json
from ml_assets.commands.session import session_of


def package(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model to hand over.")],
    form: Annotated[str, typer.Option("--format", help="bentoml, onnx or mlflow-docker.")],
    output: Annotated[Path, typer.Option(help="New directory.")],
    version: Annotated[str, typer.Option(help="Version to hand over; default: the champion.")] = "",
    as_json: Json = False,
) -> None:
    """Write a model as a directory for BentoML, ONNX Runtime or MLflow's containers.

    It is asked about the model's own holdout rows first: where it says something else, nothing is written.
    """
    import json
    from dataclasses import asdict

    from ml_assets.commands.hand_over.lookup import package_version
    from ml_assets.lake import Lake

    session = session_of(context)
    home = session.open_home()
    written = package_version(session.open_registry(home), Lake(home.lake), model, version or None, form, output)
    line = (
        f"{written.output}: {model} {written.version}, tried on {written.rows:,} rows, {written.difference:.2g} apart"
    )
    typer.echo(json.dumps(asdict(written)) if as_json else line)


def feast_export(
    context: typer.Context,
    use_case: Annotated[str, typer.Argument(help="Folder under defs/ that declares the feature views.")],
    output: Annotated[Path, typer.Option(help="New directory.")],
    since: Annotated[str, typer.Option(help="ISO date from which values can be asked for; default: 28 days.")] = "",
    as_of: Annotated[str, typer.Option(help="ISO date: later facts are left out; default: the newest fact.")] = "",
    as_json: Json = False,
) -> None:
    """Write a use case's feature views as a Feast repository that gives the same values, online and in history."""
    import json
    from dataclasses import asdict

    from ml_assets.commands.hand_over.lookup import export_use_case
    from ml_assets.lake import Lake

    session = session_of(context)
    home = session.open_home()
    written = export_use_case(session.read_declarations(), Lake(home.lake), use_case, output, since, as_of)
    if as_json:
        typer.echo(json.dumps(asdict(written), default=lambda moment: moment.isoformat()))
        return
    typer.echo(f"{written.output}: {written.since.isoformat()} to {written.as_of.isoformat()}")
    for name, rows in written.rows.items():
        typer.echo(f"  {name}: {rows:,} rows")
    for name, reason in written.left_out.items():
        typer.echo(f"  {name} is left out: {reason}")
