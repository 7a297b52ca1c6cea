import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml_assets import cli
from ml_assets.commands.exits import ExitCode
from ml_assets.commands.init.project import create_project
from ml_assets.commands.lifecycle.status import print_status
from ml_assets.commands.ui import programs
from ml_assets.registry.registry import Registry
from ml_assets_tests import processes

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "ml-assets"
SAYS = {
    "run": ["USE_CASE", "--train-as-of", "--since", "--until", "--json"],
    "summary": ["USE_CASE", "--json"],
    "status": ["--json"],
    "drift": ["--reference", "--current", "--output", "--format", "--psi", "--json", "Exit status"],
    "test": ["--reference", "--current", "--false-alarms", "--tolerance", "Exit status"],
    "why": ["MODEL", "--drop", "--json"],
    "rollback": ["MODEL", "--to"],
    "replay": ["MODEL", "--from", "--to", "--policies", "--html", "--json"],
    "online": ["USE_CASE", "--as-of", "--view", "--json"],
    "score": ["MODEL", "--input", "--output", "--json"],
    "serve": ["MODEL...", "--host", "--port", "--workers", "127.0.0.1", "8080"],
    "spool": ["--follow", "--json"],
    "served": ["MODEL", "--drop", "--json"],
    "ui": ["--host", "--port", "127.0.0.1", "3000", "--console-port", "3001"],
    "console": ["--host", "--port", "--name", "127.0.0.1", "3001"],
    "mlflow": ["--host", "--port", "127.0.0.1", "5000"],
    "settings": ["--json"],
    "fields": ["Outcome"],
}


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("command", SAYS)
def test_each_command_explains_itself_and_its_options(command):
    done = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    assert [
        word
        for word in SAYS[command]
        if word not in plain(done.output).replace("use_case", "USE_CASE").replace("model ", "MODEL ")
    ] == []
    explained = getattr(cli, command).__doc__.split(".")[0].split("\n")[0]
    assert explained[:60] in " ".join(plain(done.output).replace("│", " ").split())


def test_without_a_command_all_are_listed():
    done = CliRunner().invoke(cli.app, [])
    assert all(command in plain(done.output) for command in SAYS)


def test_a_cut_off_is_required():
    done = CliRunner().invoke(cli.app, ["run", "flights"])
    assert done.exit_code == 2
    assert "--train-as-of" in plain(done.output)


@pytest.fixture
def run(unused_home):
    """Runs the installed program."""

    def go(*arguments, cwd=PROJECT):
        own = {"ML_ASSETS_HOME": unused_home, "ML_ASSETS_PROJECT": PROJECT}
        return processes.run("ml-assets", *arguments, cwd=cwd, timeout=120, **own)

    return go


@pytest.mark.timeout(130)
@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (
            ["run", "nothing", "--train-as-of", "2013-10-01"],
            r"no use case 'nothing' under defs/; there are churn, .*flights",
            ExitCode.WRONG,
        ),
        (
            ["run", "flights", "--train-as-of", "2012-06-01"],
            r"no drop of flights lies before 2012-06-01",
            ExitCode.WRONG,
        ),
        (
            ["run", "flights", "--train-as-of", "soon"],
            r"training cut-off 'soon' is no ISO date such as 2013-10-01",
            ExitCode.WRONG,
        ),
        (["summary", "nothing"], r"no use case 'nothing' under defs/; there are churn, .*flights", ExitCode.WRONG),
        (["rollback", "flight_delay"], r"flight_delay has decided nothing yet.*", ExitCode.FAILED),
        (
            ["replay", "x", "--from", "2013-04", "--to", "2013-05"],
            r"no model 'x' is declared; there are arrival_delay, churn_risk, .*flight_delay",
            ExitCode.WRONG,
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_an_exit_status(run, tmp_path, arguments, said, code):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    (line, *more) = done.stderr.strip().splitlines()
    assert more == []
    assert re.fullmatch(f"error: .*{said}.*", line)
    assert list(tmp_path.iterdir()) == [], "something was written into the working directory"


COMMANDS = [
    ["run", "flights", "--train-as-of", "2013-10-01"], ["try", "flight_delay"], ["summary", "flights"], ["status"],
    ["rollback", "flight_delay"], ["replay", "flight_delay", "--from", "2013-04", "--to", "2013-05"],
    ["online", "flights"], ["score", "flight_delay", "--input", "a.csv", "--output", "b.csv"],
    ["serve", "flight_delay"], ["spool"], ["served", "flight_delay"],
    ["package", "flight_delay", "--format", "onnx", "--output", "new"], ["feast-export", "flights", "--output", "new"],
    ["ui"], ["mlflow"], ["card", "flight_delay"], ["approve", "flight_delay", "2", "--by", "Ann"],
    ["refuse", "flight_delay", "2", "--by", "Ann"],
]  # fmt: skip


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_outside_of_any_project_each_command_says_how_to_begin_one_and_makes_nothing(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == ExitCode.WRONG
    assert done.stderr.splitlines() == [
        "error: no project here: `ml-assets init NAME` begins one, and `ml-assets --project FOLDER` names one that is "
        "elsewhere"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("bare_environment")
def test_a_project_elsewhere_is_named_and_keeps_its_state_in_its_own_folder(tmp_path, monkeypatch):
    create_project(tmp_path / "bakery")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = CliRunner().invoke(cli.app, ["--project", "../bakery/bakery", "rollback", "bread"])
    assert "bread has decided nothing yet" in done.stderr
    assert os.environ["ML_ASSETS_HOME"] == str(tmp_path / "bakery" / ".ml_assets")


@pytest.mark.timeout(60)
def test_the_status_of_a_project_without_models_says_so(capsys):
    print_status([], as_json=False)
    assert capsys.readouterr().out == "no model is declared\n"


def test_the_status_of_an_empty_home_says_what_to_do(run):
    told = json.loads(run("status", "--json").stdout)
    assert {model["model"] for model in told} >= {"arrival_delay", "churn_risk", "digit", "flight_delay"}
    assert {(model["champion"], model["freshness"]) for model in told} == {(None, "none")}
    assert {model["next_step"] for model in told} == {"train a first champion"}


@pytest.mark.timeout(60)
def test_the_summary_of_an_empty_home_says_so(run):
    done = run("summary", "flights")
    assert done.returncode == 0, done.stderr
    assert "flight_delay: nothing scored yet" in done.stdout


def test_a_program_that_is_missing_is_an_error_with_the_remedy(own_home, monkeypatch, tmp_path):  # noqa: ARG001
    monkeypatch.setattr(programs.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(cli.app, ["ui", "--console-port", "0"])
    assert done.exit_code == ExitCode.FAILED
    assert "dagster is not installed beside" in done.stderr


def test_the_uis_listen_where_they_are_told_and_show_the_same_state(own_home, monkeypatch):
    started = []
    monkeypatch.setattr(programs, "run_program", lambda *command: started.append(command))
    dagster_alone = ["ui", "--port", "3911", "--console-port", "0"]
    for arguments in (dagster_alone, ["mlflow", "--port", "5911", "--host", "0.0.0.0"]):
        assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    dagster, mlflow = started
    assert dagster[:2] == ("dagster", "dev")
    assert dagster[-4:] == ("-h", "127.0.0.1", "-p", "3911")
    assert os.environ["DAGSTER_HOME"] == str(own_home.dagster)
    told = dict(zip(mlflow[2::2], mlflow[3::2], strict=True))
    assert told["--backend-store-uri"] == own_home.mlflow
    assert (told["--host"], told["--port"]) == ("0.0.0.0", "5911")
    assert os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_a_server_that_shows_the_trainings_already_is_named_and_none_is_started(own_home, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("ML_ASSETS_MLFLOW", "http://mlflow.example:5000/")
    monkeypatch.setattr(Registry, "experiment_id", "7")
    started = []
    monkeypatch.setattr(programs, "run_program", lambda *command: started.append(command))
    done = CliRunner().invoke(cli.app, ["mlflow"])
    page = "http://mlflow.example:5000/#/experiments/7/runs?workflowType=machine_learning"
    assert (done.output, started) == (f"Trainings: {page}\n", [])


def test_a_server_that_is_away_is_one_line(own_home, monkeypatch):  # noqa: ARG001
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("ML_ASSETS_MLFLOW", address)
    for command in (["mlflow"], ["package", "m", "--format", "onnx", "--output", "x"]):
        done = CliRunner().invoke(cli.app, command)
        assert done.exit_code == 1
        told = f"error: MLflow at {address} does not answer (ConnectionError): start it, or see ML_ASSETS_MLFLOW"
        assert done.output.splitlines() == [told]
