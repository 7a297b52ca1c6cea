"""What the README tells people to type exists and works."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ml_assets.cli import app
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.spec import OnlineSpec
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.serving.spec import ServingSpec
from ml_assets.sources.spec import SourceSpec

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()
GUIDE = (PROJECT / "docs/continuous-training.md").read_text()
SERVING = (PROJECT / "docs/serving.md").read_text()
SHELL = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README + GUIDE + SERVING, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
COMMANDS = [line for line in SHELL if line.startswith("ml-assets")]
TARGETS = [line.removeprefix("make ") for line in SHELL if line.startswith("make")]


BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]


def test_the_source_shown_is_one():
    shown, _ = BLOCKS
    source = SourceSpec(**shown["attributes"])
    assert (shown["type"], source.format, source.drops.grain) == ("ml_assets.Source", "sql", "daily")


def test_every_line_is_a_target_or_a_command():
    assert len(COMMANDS) + len(TARGETS) == len(SHELL) > 0


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_exists(target):
    outcome = subprocess.run(["make", "--dry-run", target], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stderr


def without_colours(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@cache
def help_of(*words):
    told = CliRunner().invoke(app, [*words, "--help"])
    assert told.exit_code == 0, told.output
    return without_colours(told.output)


def test_the_program_is_installed_and_lists_its_commands():
    program = Path(sys.executable).parent / "ml-assets"
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert {command.split()[1] for command in COMMANDS} <= set(without_colours(told.stdout).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_takes_the_options_shown(command):
    _, name, *rest = command.split()
    groups = {group.name for group in app.registered_groups}
    plain = help_of(name, *rest[: name in groups])
    assert all(option in plain for option in rest if option.startswith("--")), plain


def test_the_declaration_shown_is_one_that_ships():
    _, shown = BLOCKS
    shipped = list(yaml.safe_load_all((PROJECT / "ml_assets/defs/flights/features/defs.yaml").read_text()))
    (real,) = (d for d in shipped if d["attributes"]["name"] == shown["attributes"]["name"])
    assert shown["type"] == real["type"]
    assert shown["attributes"].items() <= real["attributes"].items()


def test_every_folder_and_picture_named_exists():
    for path in [*re.findall(r"`((?:ml_assets|dbt_project)/[a-z_]*/?)`", README), *re.findall(r"\]\((.*?)\)", README)]:
        assert (PROJECT / path.partition("#")[0]).exists(), path


def test_the_policy_shown_in_the_guide_is_the_default():
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]
    (shown,) = (block for block in blocks if "retraining" in block)
    defaults = RetrainingSpec().model_dump()
    assert shown["retraining"].items() <= defaults.items()
    for picture in re.findall(r"\]\((.*?)\)", GUIDE):
        assert (PROJECT / "docs" / picture.partition("#")[0]).exists(), picture


def test_the_request_shown_holds_what_the_shipped_model_asks_for():
    shipped = PROJECT / "ml_assets/defs/flights"
    views = [d["attributes"] for d in yaml.safe_load_all((shipped / "features/defs.yaml").read_text())]
    model, spine = (
        yaml.safe_load((shipped / part / "defs.yaml").read_text())["attributes"] for part in ("flight_delay", "spine")
    )
    specs = [FeatureViewSpec(**{k: v for k, v in view.items() if k not in ("spine", "online")}) for view in views]
    needed = {*spine["key"], *(column for s in specs if s.name in model["features"] for column in s.spine_columns)}
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", SERVING, re.DOTALL)]
    (request,) = (one for one in shown if "as_of" in one)
    assert [set(row) for row in request["rows"]] == [needed]


def test_the_serving_shown_can_be_declared():
    online, require, serving, log = (
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", SERVING, re.DOTALL)
    )
    assert OnlineSpec(**online["online"]).max_age == "1d"
    assert ServingSpec(**require["serving"]).require.share == 0.9
    assert ServingSpec(**serving["serving"]).canary == 0.05
    # What is shown of the log is what is so by default.
    assert ServingSpec(**log["serving"]) == ServingSpec()
