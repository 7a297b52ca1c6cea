"""``settings``: every environment variable that is read."""

import typer

from ml_assets.commands.options import Json
from ml_assets.commands.session import session_of


def settings(context: typer.Context, as_json: Json = False) -> None:
    """Show every environment variable that is read, with its value, default and meaning; secrets are masked."""
    import json
    from dataclasses import asdict

    from ml_assets.notifications.opening import describe_channels
    from ml_assets.settings import describe_settings

    current = session_of(context).settings
    variables = [*describe_settings(current), *describe_channels(current.notifications)]
    if as_json:
        typer.echo(json.dumps([asdict(variable) for variable in variables], indent=2))
        return
    for variable in variables:
        default = f" (default {variable.default})" if variable.default is not None else ""
        value = "not set" if variable.value is None else variable.value
        typer.echo(f"{variable.name}: {value}{default}\n  {variable.description}")
