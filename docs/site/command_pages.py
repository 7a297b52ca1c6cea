"""The reference of `ml-assets`: every command with its arguments and options, as the program itself knows them."""

from collections.abc import Iterator

import click
import typer

from ml_assets.cli import app


def render() -> str:
    """Return the page's Markdown."""
    program = typer.main.get_command(app)
    context = click.Context(program, info_name="ml-assets")
    parts = ["# Commands", program.help or "", _parameters(program, context)]
    for within in _commands(program, context):
        command = within.command
        usage = " ".join([within.command_path, *command.collect_usage_pieces(within)])
        parts += [f"## {within.command_path}", command.help or "", f"```text\n{usage}\n```"]
        parts.append(_parameters(command, within))
    return "\n\n".join(part for part in parts if part)


def _commands(group: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The context of each command, those of groups in groups included, in the order in which they are declared."""
    if not isinstance(group, click.Group):
        yield context
        return
    for name, command in group.commands.items():
        if not command.hidden:
            yield from _commands(command, click.Context(command, info_name=name, parent=context))


def _parameters(command: click.Command, context: click.Context) -> str:
    rows = [_row(parameter, context) for parameter in command.params if parameter.name != "help"]
    return "\n".join(["| parameter | default | what |", "|---|---|---|", *rows]) if rows else ""


def _row(parameter: click.Parameter, context: click.Context) -> str:
    default = parameter.get_default(context)
    shown = "required" if parameter.required else "" if default in (None, "", (), False) else f"`{default}`"
    if isinstance(parameter, click.Option):
        kind = "" if parameter.is_flag else f" {parameter.make_metavar(context)}"
        name = ", ".join(f"`{option}{kind}`" for option in parameter.opts)
    else:
        name = f"`{parameter.make_metavar(context)}`"
    variable = f" Variable: `{parameter.envvar}`." if parameter.envvar else ""
    return f"| {name} | {shown} | {(getattr(parameter, 'help', None) or '').replace('|', chr(92) + '|')}{variable} |"
