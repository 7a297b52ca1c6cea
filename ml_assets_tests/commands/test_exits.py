"""Each class of error has one exit code and one message, whatever command meets it."""

import errno
from importlib import import_module

import pytest
import typer
from typer.testing import CliRunner

from ml_assets import cli
from ml_assets.code_version import NoProject
from ml_assets.commands.exits import EXIT_CODES, OWN_FAULTS, ExitCode, Program, describe_error, exit_code
from ml_assets.commands.session import Session
from ml_assets.declarations.problems import DeclarationError
from ml_assets.extensions import ExtensionError
from ml_assets.lake.tables import TableMissing
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.public.unknown import unknown_name
from ml_assets.quality.errors import ContractError
from ml_assets.registry.store.server import RegistryAway
from ml_assets.requirements import WrongVersion
from ml_assets.settings import SettingsError
from ml_assets.sources.errors import SourceError

ERRORS = [
    (unknown_name("version of model m", 2, ["1"]), 2),
    (SettingsError("wrong"), 2),
    (DeclarationError("wrong"), 2),
    (NoProject("none"), 2),
    (ContractError("wrong"), 2),
    (ExtensionError("unknown"), 2),
    (ValueError("no such use case"), 2),
    (TableMissing("not there"), 1),
    (LookupError("no champion"), 1),
    (WrongVersion("too old"), 1),
    (RuntimeError("failed"), 1),
    (FileNotFoundError(2, "No such file", "a.csv"), 1),
    (ConnectionError("away"), 1),
]
COMMANDS = [
    ["run", "u", "--train-as-of", "2013-10-01"], ["try", "m"], ["summary", "u"], ["status"], ["rollback", "m"],
    ["replay", "m", "--from", "2013-04", "--to", "2013-05"], ["online", "u"],
    ["score", "m", "--input", "a.csv", "--output", "b.csv"], ["serve", "m"], ["spool"], ["served", "m"],
    ["package", "m", "--format", "onnx", "--output", "new"], ["feast-export", "u", "--output", "new"], ["ui"],
    ["mlflow"], ["card", "m"], ["approve", "m", "2", "--by", "Ann"], ["refuse", "m", "2", "--by", "Ann"],
]  # fmt: skip


def raising(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_every_command_turns_an_error_into_lines_and_a_code(monkeypatch, arguments, error, code):
    monkeypatch.setattr(Session, "open_home", raising(error))
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == code
    assert (done.stdout, done.stderr) == ("", f"error: {error}\n")


@pytest.mark.parametrize("error", [kind("ours") for kind in (*OWN_FAULTS, TypeError, AssertionError)], ids=repr)
def test_a_mistake_of_our_own_keeps_its_traceback(monkeypatch, error):
    monkeypatch.setattr(Session, "open_home", raising(error))
    done = CliRunner().invoke(cli.app, ["status"])
    assert done.exception is error


def test_wrong_usage_is_2_and_done_is_0():
    assert CliRunner().invoke(cli.app, ["status", "--no-such-option"]).exit_code == ExitCode.WRONG
    assert CliRunner().invoke(cli.app, ["no-such-command"]).exit_code == ExitCode.WRONG
    assert CliRunner().invoke(cli.app, ["--help"]).exit_code == ExitCode.DONE


def test_a_disk_that_takes_nothing_is_told_with_what_to_do():
    full = OSError(errno.ENOSPC, "No space left on device", "/home/keys.json")
    assert describe_error(full).startswith("/home/keys.json: No space left on device: make room on its disk: `df -h`")
    assert describe_error(OSError(errno.EROFS, "Read-only file system", "/f")).endswith("so)")
    assert describe_error(FileNotFoundError(2, "gone", "/f")) == "[Errno 2] gone: '/f'"


def test_a_message_of_several_lines_is_several_errors(monkeypatch):
    monkeypatch.setattr(Session, "open_home", raising(DeclarationError("a.yaml:1: x\nb.yaml:2: y")))
    done = CliRunner().invoke(cli.app, ["status"])
    assert done.stderr.splitlines() == ["error: a.yaml:1: x", "error: b.yaml:2: y"]


def test_a_command_that_has_said_what_to_exit_with_exits_with_it():
    app = typer.Typer(cls=Program)

    @app.command()
    def one() -> None:
        raise typer.Exit(7)

    @app.command()
    def two() -> None:
        raise typer.Abort

    assert [CliRunner().invoke(app, [name]).exit_code for name in ("one", "two")] == [7, 1]


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_type_of_the_table_exists(name):
    module, _, kind = name.rpartition(".")
    found = getattr(import_module(module), kind)
    assert issubclass(found, Exception)
    assert exit_code(found.__new__(found)) == EXIT_CODES[name]


def test_failed_data_is_not_taken_for_wrong_usage():
    assert exit_code(SourceError.__new__(SourceError)) == ExitCode.FAILED
    assert exit_code(RegistryAway.__new__(RegistryAway)) == ExitCode.FAILED
    assert exit_code(StoreUnavailable.__new__(StoreUnavailable)) == ExitCode.FAILED
