"""``settings``: every environment variable that is read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from ml_assets.commands.options import Json
from ml_assets.commands.session import session_of

if TYPE_CHECKING:
    from ml_assets.settings import Variable


def settings(context: typer.Context, as_json: Json = False) -> None:
    """Show every environment variable that is read, with its value, default and meaning; secrets are masked.

    A value that would be refused later, and a variable that nothing reads, is a line on standard error.
    """
    import json
    from dataclasses import asdict

    from ml_assets.commands.exits import print_warnings
    from ml_assets.commands.settings_check import setting_faults, unknown_variables
    from ml_assets.notifications.opening import describe_channels
    from ml_assets.settings import SettingsError, describe_settings

    current = session_of(context).settings
    variables = [*describe_settings(current), *describe_channels(current.notifications)]
    if as_json:
        typer.echo(json.dumps([asdict(variable) for variable in variables], indent=2))
    else:
        _print(variables)
    print_warnings(unknown_variables())
    if faults := list(setting_faults(current)):
        raise SettingsError("\n".join(faults))


def _print(variables: "Iterable[Variable]") -> None:
    for variable in variables:
        default = f" (default {variable.default})" if variable.default is not None else ""
        value = "not set" if variable.value is None else variable.value
        typer.echo(f"{variable.name}: {value}{default}\n  {variable.description}")
