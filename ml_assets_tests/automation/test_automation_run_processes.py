import multiprocessing
import os
import sys
from multiprocessing import context, forkserver

import pytest

from ml_assets.automation import run_processes
from ml_assets.automation.run_processes import fork_runs, is_code_server, prepare_runs

IMPORTED = "wave"
"""A module that nothing else imports."""


@pytest.fixture
def forking(monkeypatch):
    """This process as a code server is; the fork server of the tests ends with it."""
    monkeypatch.setattr(context.SpawnProcess, "_Popen", staticmethod(context.SpawnProcess._Popen))
    monkeypatch.setattr(run_processes, "IMPORTED", [IMPORTED])
    fork_runs()
    yield
    forkserver._forkserver._stop()


def write_what_is_there(path):
    imported = IMPORTED in sys.modules
    path.write_text(f"{imported} {os.environ.get('ML_ASSETS_PLANTED')} {'HOME' in os.environ}")
    sys.exit(3)


def run(path):
    process = multiprocessing.get_context("spawn").Process(target=write_what_is_there, args=(path,))
    process.start()
    process.join(60)
    assert not process.is_alive()
    return process.exitcode, path.read_text()


@pytest.mark.usefixtures("forking")
def test_a_run_has_the_libraries_and_the_environment_of_its_moment(monkeypatch, tmp_path):
    assert run(tmp_path / "one") == (3, "True None True")
    # The fork server is there by now, with the environment of before.
    monkeypatch.setenv("ML_ASSETS_PLANTED", "later")
    monkeypatch.delenv("HOME", raising=False)
    assert run(tmp_path / "two") == (3, "True later False")


def test_no_module_of_a_project_is_imported_before_its_runs():
    assert not [name for name in run_processes.IMPORTED if name.startswith(("ml_assets.defs", "ml_assets.definitions"))]


@pytest.mark.parametrize(
    ("command", "serves"),
    [
        ("dagster api grpc --port 3", True),
        ("dagster code-server start -m shop", True),
        ("dagster dev", False),
        ("dagster api execute_run x", False),
        ("ml-assets run flights", False),
        ("dagster", False),
    ],
)
def test_only_code_servers_fork_runs(command, serves, monkeypatch):
    monkeypatch.setattr(context.SpawnProcess, "_Popen", before := context.SpawnProcess._Popen)
    monkeypatch.setattr(sys, "argv", command.split())
    assert is_code_server(sys.argv) is serves
    prepare_runs()
    assert (context.SpawnProcess._Popen is not before) is serves
