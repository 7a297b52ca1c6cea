"""The environment is read in one place, typed, and everything else is passed what it says."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from typer.testing import CliRunner

import ml_assets
from ml_assets.cli import app
from ml_assets.home import Home
from ml_assets.notifications.opening import CHANNELS, describe_channels
from ml_assets.project import check_trackers, load_current
from ml_assets.settings import MASK, Settings, SettingsError, describe_settings, read_settings

PACKAGE = Path(ml_assets.__file__).parent
README = (PACKAGE.parent / "README.md").read_text()
GATES = {"settings.py", "environment.py"}
EDGES = {
    "commands/session.py": "the command line",
    "project.py": "Dagster",
    "commands/serving/serve.py": "a server",
    "commands/serving/large_requests.py": "the process that answers its large requests",
    "components/project/tree.py": "a tree that Dagster made",
    "public/opening.py": "a notebook or a script",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The process's environment without what is read, and put back afterwards, whatever a command leaves in it."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("ML_ASSETS", "OTEL", "MLFLOW", "ONLINE_STORE")):
            monkeypatch.delenv(name)
    yield monkeypatch
    os.environ.clear()
    os.environ.update(before)


def touches_the_environment(source: str) -> list[str]:
    """What in a module reads or writes variables of the process."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    if not any(name in source for name in names):
        return []
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in names:
            found.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            found += [alias.name for alias in node.names if alias.name in names]
    return found


def calls(source: str, function: str) -> bool:
    if function not in source:
        return False
    named = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return any(ast.unparse(one).split(".")[-1] == function for one in named)


@pytest.mark.parametrize(
    "text", ["os.environ['A']", "os.environ.get('A')", "os.getenv('A')", "from os import environ", "os.putenv(a, b)"]
)
def test_a_use_of_the_environment_is_seen(text):
    assert touches_the_environment(f"import os\n{text}")


def test_the_environment_is_used_in_two_modules_and_settings_are_read_at_the_edges():
    sources = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    own = {name: text for name, text in sources.items() if name not in GATES and "/bundle/" not in name}
    assert {name: used for name, text in own.items() if (used := touches_the_environment(text))} == {}
    assert {name for name, text in own.items() if calls(text, "read_settings")} == set(EDGES)
    assert [name for name, text in own.items() if calls(text, "Settings")] == []


def test_without_variables_everything_has_its_default(tmp_path):
    settings = read_settings()
    assert settings.model_fields_set == set()
    assert (settings.executor, settings.sensor_seconds, settings.look_seconds) == ("in_process", 30, 5.0)
    assert settings.watches("shop")
    assert Home.of(settings, tmp_path) == Home.under(tmp_path / ".ml_assets")


def test_a_variable_of_the_name_of_a_field_is_somebody_elses(environment):
    for field in Settings.model_fields:
        environment.setenv(field, "in_process")
    assert read_settings().model_fields_set == set()


def test_names_are_separated_by_commas_and_spaces(environment):
    environment.setenv("ML_ASSETS_BEGUN", "flights, digits ,")
    assert read_settings().begun == ("flights", "digits")


@pytest.mark.slow
def test_dagster_is_not_given_an_address_that_may_hold_a_password(environment, unused_home):
    environment.setenv("ML_ASSETS_HOME", str(unused_home))
    variables = ["ML_ASSETS_STUDIES", "ML_ASSETS_MLFLOW", "ONLINE_STORE_URL"]
    for variable in variables:
        environment.setenv(variable, "postgresql://me:s3cret@db/state")
    repository = load_current(read_settings()).get_repository_def()
    kept = dg.serialize_value(RepositorySnap.from_def(repository))
    assert "s3cret" not in kept
    assert all(variable in kept for variable in variables)


def test_an_empty_variable_is_one_that_is_not_set(environment):
    for name in (
        "ML_ASSETS_HOME",
        "ML_ASSETS_LAKE",
        "ML_ASSETS_EXECUTOR",
        "ML_ASSETS_SENSOR_SECONDS",
        "ML_ASSETS_BEGUN",
    ):
        environment.setenv(name, "")
    assert read_settings().model_fields_set == set()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ML_ASSETS_EXECUTOR", "dask", "ML_ASSETS_EXECUTOR is 'dask'; choose from in_process, multiprocess"),
        ("ML_ASSETS_LOG_FORMAT", "xml", "ML_ASSETS_LOG_FORMAT is 'xml'; choose from text, json"),
        ("ML_ASSETS_SENSOR_SECONDS", "soon", "ML_ASSETS_SENSOR_SECONDS is 'soon': input should be a valid integer.*"),
        (
            "ML_ASSETS_SENSOR_SECONDS",
            "0",
            "ML_ASSETS_SENSOR_SECONDS is '0': input should be greater.* 1",
        ),
        ("ML_ASSETS_LOOK_SECONDS", "nan", "ML_ASSETS_LOOK_SECONDS is 'nan': input should be a finite number"),
        (
            "ML_ASSETS_LAKE",
            "ftp://me:secret@host/lake",
            "ML_ASSETS_LAKE is 'ftp://host/lake': a lake is a folder or a URL of s3, s3a, gs, .*",
        ),
        (
            "ML_ASSETS_MLFLOW",
            "mlruns",
            "ML_ASSETS_MLFLOW is 'mlruns': no registry can lie in a folder; name a URL, such as http://host:5000",
        ),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "-1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES is '-1': .*"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_variables_name_and_exit_code_2(environment, variable, value, message):
    environment.setenv(variable, value)
    with pytest.raises(SettingsError) as raised:
        read_settings()
    assert re.fullmatch(message, str(raised.value))
    done = CliRunner().invoke(app, ["status"])
    assert (done.exit_code, done.stderr) == (2, f"error: {raised.value}\n")


def test_several_wrong_values_are_a_line_each(environment):
    environment.setenv("ML_ASSETS_EXECUTOR", "dask")
    environment.setenv("ML_ASSETS_LOOK_SECONDS", "often")
    with pytest.raises(SettingsError) as raised:
        read_settings()
    assert [line.split()[0] for line in str(raised.value).splitlines()] == [
        "ML_ASSETS_EXECUTOR",
        "ML_ASSETS_LOOK_SECONDS",
    ]


def test_help_does_not_need_right_values(environment):
    environment.setenv("ML_ASSETS_EXECUTOR", "dask")
    assert CliRunner().invoke(app, ["run", "--help"]).exit_code == 0


SECRETS = {
    "ML_ASSETS_API_KEYS": "5" * 64,
    "ML_ASSETS_NOTIFY_WEBHOOK": "https://hooks.example/s3cret",
    "ML_ASSETS_SMTP": "smtp://bot:s3cret@mail.example",
    "ML_ASSETS_STUDIES": "mysql+pymysql://me:s3cret@host/studies",
    "ML_ASSETS_MLFLOW": "https://me:s3cret@mlflow.example",
    "ONLINE_STORE_URL": "redis://:s3cret@cache:6379/0",
}


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
def test_secrets_are_masked_wherever_settings_are_shown(environment, arguments):
    for name, value in SECRETS.items():
        environment.setenv(name, value)
    settings = read_settings()
    assert "s3cret" not in repr(settings) + str(settings)
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "s3cret" not in shown.output
    assert "5" * 64 not in shown.output
    assert "redis://cache:6379/0" in shown.output
    assert MASK in shown.output


def test_the_command_shows_each_variable_with_its_value_and_default(environment):
    environment.setenv("ML_ASSETS_SENSOR_SECONDS", "5")
    shown = {one["name"]: one for one in json.loads(CliRunner().invoke(app, ["settings", "--json"]).stdout)}
    assert shown["ML_ASSETS_SENSOR_SECONDS"] == {
        "name": "ML_ASSETS_SENSOR_SECONDS",
        "type": "int",
        "default": "30",
        "description": "seconds between two looks of a sensor",
        "value": "5",
    }
    assert shown["ML_ASSETS_EXECUTOR"]["value"] is None
    assert "ML_ASSETS_NOTIFY_EMAIL" in shown


WRONG = {
    "ML_ASSETS_API_KEYS": ("s3cret", "ML_ASSETS_API_KEYS: entry 1 is no SHA-256 in hex: give the digests of the keys"),
    "ML_ASSETS_NOTIFY_SLACK": ("hooks/s3cret", "ML_ASSETS_NOTIFY_SLACK is malformed: write an http or https URL"),
    "ML_ASSETS_NOTIFY_EMAIL": ("me@example.org", "ML_ASSETS_SMTP is missing: ML_ASSETS_NOTIFY_EMAIL needs it"),
    "ML_ASSETS_TRACKERS": ("nobody", "ML_ASSETS_TRACKERS: unknown tracker 'nobody': known are mlflow"),
    "ONLINE_STORE_URL": (
        "memcached://:s3cret@host",
        "ONLINE_STORE_URL: online store 'memcached://host': write sqlite:",
    ),
    "ML_ASSETS_STUDIES": ("studies", "ML_ASSETS_STUDIES is no SQLAlchemy URL, such as postgresql+psycopg:"),
}


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
def test_what_would_be_refused_later_is_said_when_settings_are_shown(environment, arguments):
    for name, (value, _) in WRONG.items():
        environment.setenv(name, value)
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 2
    lines = shown.stderr.splitlines()
    assert len(lines) == len(WRONG)
    for _, message in WRONG.values():
        assert [line for line in lines if line.startswith(f"error: {message}")], message
    assert "s3cret" not in shown.output
    assert "ML_ASSETS_EXECUTOR" in shown.stdout


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "ONLINE_STORE_URL: online store 'sqlite://': names no file; write sqlite:///path"),
        ("online.db", "ONLINE_STORE_URL: online store 'online.db': write sqlite:///path for a file"),
    ],
)
def test_an_online_store_without_a_place_is_refused_when_settings_are_shown(environment, url, message):
    environment.setenv("ONLINE_STORE_URL", url)
    assert CliRunner().invoke(app, ["settings"]).stderr.startswith(f"error: {message}")


def test_a_driver_that_is_not_installed_is_named_when_settings_are_shown(environment):
    environment.setenv("ML_ASSETS_STUDIES", "oracle://me:s3cret@host/studies")
    shown = CliRunner().invoke(app, ["settings"])
    assert shown.stderr.startswith("error: ML_ASSETS_STUDIES names a database whose driver cannot be loaded: No module")
    assert "s3cret" not in shown.output


def test_every_command_warns_of_a_misspelt_variable_and_names_the_nearest(environment, unused_home):
    environment.setenv("ML_ASSETS_HOME", str(unused_home))
    environment.setenv("ML_ASSETS_EXECUTER", "multiprocess")
    environment.setenv("ML_ASSETS_NOTIFY_SLAK", "https://hooks.example")
    environment.setenv("ML_ASSETS_OF_SOMEBODY_ELSE", "1")
    environment.setenv("ML_ASSETS_HOMES", "")
    warnings = [
        "warning: ML_ASSETS_EXECUTER is read by nothing: did you mean ML_ASSETS_EXECUTOR?",
        "warning: ML_ASSETS_NOTIFY_SLAK is read by nothing: did you mean ML_ASSETS_NOTIFY_SLACK?",
    ]
    done = CliRunner().invoke(app, ["status"])
    assert done.stderr.splitlines() == warnings
    shown = CliRunner().invoke(app, ["settings"])
    assert shown.exit_code == 0
    assert shown.stderr.splitlines() == [*warnings, "warning: ML_ASSETS_OF_SOMEBODY_ELSE is read by nothing"]


def test_every_setting_has_a_variable_and_a_description():
    described = describe_settings(Settings())
    assert len(described) == len(Settings.model_fields)
    assert [one.name for one in described if not one.description] == []


def test_the_table_in_the_readme_is_that_of_the_settings():
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*) \| (.*) \|$", README, flags=re.MULTILINE)
    variables = [*describe_settings(Settings()), *describe_channels({}, CHANNELS.built_in_names())]
    assert rows == [(one.name, f"`{one.default}`" if one.default else "", one.description) for one in variables]


def test_a_process_that_is_started_sees_the_same_settings(environment, tmp_path):
    environment.setenv("ML_ASSETS_SENSOR_SECONDS", "7")
    Home.under(tmp_path).enter()
    code = "from ml_assets.settings import read_settings as r; s = r(); print(s.home, s.sensor_seconds)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == [str(tmp_path), "7"]


def test_trackers_are_named_one_by_one_and_must_be_known(environment):
    environment.setenv("ML_ASSETS_TRACKERS", "mlflow,nobody")
    assert Home.of(read_settings()).trackers == ("mlflow", "nobody")
    with pytest.raises(SettingsError, match="ML_ASSETS_TRACKERS: unknown tracker 'nobody': known are mlflow"):
        check_trackers(read_settings().trackers)
