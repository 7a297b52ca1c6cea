"""The one way from an error to an exit code and a message: 0 done, 1 failed, 2 wrong usage or declaration."""

import errno
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import click
import typer
from typer.core import TyperGroup


class ExitCode(IntEnum):
    """What a program tells whoever started it."""

    DONE = 0
    FAILED = 1
    WRONG = 2


OWN_FAULTS = (KeyError, IndexError, NotImplementedError, RecursionError)
"""Mistakes of the platform's own: they keep their traceback."""

EXIT_CODES = {
    "ml_assets.settings.SettingsError": ExitCode.WRONG,
    "ml_assets.declarations.problems.DeclarationError": ExitCode.WRONG,
    "ml_assets.code_version.NoProject": ExitCode.WRONG,
    # An argument that names what is not declared, or that cannot be read.
    "ml_assets.public.unknown.UnknownName": ExitCode.WRONG,
    "builtins.ValueError": ExitCode.WRONG,
    # Data, not what was typed or declared.
    "ml_assets.sources.errors.SourceError": ExitCode.FAILED,
    "ml_assets.quality.message.BrokenDrop": ExitCode.FAILED,
    "ml_assets.handover.agreement.Disagreement": ExitCode.FAILED,
    "ml_assets.handover.feast.moments.NothingKnown": ExitCode.FAILED,
    "builtins.UnicodeError": ExitCode.FAILED,
    "json.decoder.JSONDecodeError": ExitCode.FAILED,
    # State: no such version, no champion yet, a table that was not made.
    "builtins.LookupError": ExitCode.FAILED,
    "builtins.RuntimeError": ExitCode.FAILED,
    "builtins.OSError": ExitCode.FAILED,
}
"""Exit code by type of error, the nearest base class first; errors of these types bear a message for people.

Types are named, not imported: a command that fails should not load a library to say so.
"""


_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def exit_code(error: BaseException) -> ExitCode | None:
    """Return the exit code for an error; None for one that keeps its traceback."""
    for kind in type(error).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if kind in OWN_FAULTS or name in EXIT_CODES:
            return EXIT_CODES.get(name)
    return None


class Program(TyperGroup):
    """A group of commands, the errors of which become lines on standard error and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.exceptions.Abort, click.ClickException, BrokenPipeError):
            raise
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            print_errors([describe_error(error)])
            raise typer.Exit(code) from None


def describe_error(error: BaseException) -> str:
    """Return what an error says, and what to do where a disk does not take what is written."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    from ml_assets.disk_faults import describe_fault

    where = "" if error.filename is None else f"{error.filename}: "
    return f"{where}{describe_fault(error)}" if error.errno in _DISK_FAULTS else str(error)


def print_errors(messages: Iterable[str]) -> None:
    """Print each line of some messages to standard error."""
    for line in (line for message in messages for line in message.splitlines()):
        typer.secho(f"error: {line}", fg=typer.colors.RED, err=True)


def print_warnings(messages: Iterable[str]) -> None:
    """Print messages that stop nothing to standard error, a line each."""
    for message in messages:
        typer.secho(f"warning: {message}", fg=typer.colors.YELLOW, err=True)
