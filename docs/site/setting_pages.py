"""The reference of settings: every environment variable that is read, as the settings themselves describe it."""

from ml_assets.notifications.opening import CHANNELS, describe_channels
from ml_assets.settings import Settings, Variable, describe_settings

ABOUT = """# Settings

Environment variables, read once by the command line, by the module that Dagster loads, and by a server's process. A
value that a variable must not have is refused by a line that begins with its name."""


def render() -> str:
    """Return the page's Markdown."""
    shipped = describe_channels({}, CHANNELS.built_in_names())
    rows = [_row(variable) for variable in [*describe_settings(Settings()), *shipped]]
    return "\n".join([f"{ABOUT}\n", "| variable | type | default | what |", "|---|---|---|---|", *rows])


def _row(variable: Variable) -> str:
    default = f"`{variable.default}`" if variable.default else ""
    return f"| `{variable.name}` | {variable.type} | {default} | {variable.description.replace('|', chr(92) + '|')} |"
