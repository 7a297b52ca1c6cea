"""`ml-assets keys`: what it makes is let in, what it revokes is not."""

import json

from typer.testing import CliRunner

from ml_assets.cli import app
from ml_assets.serving.access.admission import Admission
from ml_assets.serving.access.key_file import KeyFile


def run(*arguments):
    done = CliRunner().invoke(app, ["keys", *arguments])
    return done.exit_code, done.stdout, done.output


def test_keys_are_made_listed_and_revoked(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("ML_ASSETS_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    code, shown, _ = run("new", "ann", "--scope", "push", "--scope", "predict", "--per-minute", "6", "--json")
    made = json.loads(shown)
    assert (code, made["name"], made["scopes"], made["per_minute"]) == (0, "ann", ["predict", "push"], 6)
    assert Admission(file=KeyFile(home / "keys.json")).admit(f"Bearer {made['key']}", "push") == "ann"
    code, shown, _ = run("new", "bob")
    assert (code, shown.startswith("mla_"), len(shown.split())) == (0, True, 1)
    code, shown, _ = run("list", "--json")
    assert [(key["name"], key["scopes"]) for key in json.loads(shown)["keys"]] == [
        ("ann", ["predict", "push"]),
        ("bob", ["predict", "read"]),
    ]
    assert made["key"] not in shown
    assert run("revoke", "ann", "--json")[:2] == (0, '{"revoked": "ann"}\n')
    assert run("revoke", "ann")[0] == 1
    assert run("new", "bob")[0] == 2
    code, _, told = run("new", "eve", "--scope", "write")
    assert (code, "--scope 'write' must be one of predict, push, read, admin" in told) == (2, True)
    assert (CliRunner().invoke(app, ["keys", "remove-all"], input="n\n").exit_code, (home / "keys.json").exists()) == (
        1,
        True,
    )
    assert run("remove-all", "--yes", "--json")[0] == 0
    assert [each.name for each in home.glob("keys.json*")] == ["keys.json.lock"]
    assert run("remove-all", "--yes")[0] == 1
    audit = [json.loads(line) for line in (home / "audit.ndjson").read_text().splitlines()]
    assert [(line.get("made"), line.get("revoked")) for line in audit[:3]] == [
        ("ann", None), ("bob", None), (None, "ann")
    ]  # fmt: skip
    assert audit[3]["removed_all"] == str(home / "keys.json")
