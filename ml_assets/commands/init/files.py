"""The files of a new project, as templates: `{name}`, and what the platform's own requirement and origin fill in."""

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=80"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11,<3.13"
dependencies = ["{requirement}"]

[dependency-groups]
dev = ["pytest>=9.0"]

[tool.setuptools.packages.find]
include = ["{name}*"]

[tool.setuptools.package-data]
"*" = ["*.yaml"]

[tool.uv]
# nannyml pulls FLAML, which caps xgboost below 3 without needing to: 2.x scores categories wrongly, and ml_assets
# brings xgboost-cpu. kaleido, 220 MB, would only export plots as files.
override-dependencies = ["xgboost ; python_version < '3'", "kaleido ; python_version < '3'"]
{source}
[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{name}"
code_location_target_module = "{name}.definitions"
code_location_name = "{name}"
registry_modules = ["ml_assets"]
""",
    "README.md": """\
# {name}

Sources, features and models are declared in `{name}/defs/`, one folder per use case. Two commands, with
[uv](https://docs.astral.sh/uv/) alone; the first one installs what is needed into `.venv`:

```sh
uv run pytest
uv run ml-assets ui
```

The first checks what is declared; the second opens Dagster on 127.0.0.1:3000. State lies in `.ml_assets/`, which can be
deleted to start over. `uv run ml-assets --help` lists all commands, `uv run dg scaffold defs ml_assets.Source --help`
says how a declaration is written from your rows.

From Python, `ml_assets.open_project()` reads tables, features and models, and `ml_assets.testing` tries declarations on
tiny frames in tests:

```python
from ml_assets import testing

given = testing.project(__file__).given("orders/validated", [{"customer": "ann", "placed_at": "2024-03-01"}])
given.features("order_history", at="2024-03-02", customer="ann")
```
""",
    "workspace.yaml": """\
load_from:
  - python_module:
      module_name: {name}.definitions
      location_name: {name}
      working_directory: .
""",
    ".gitignore": """\
.ml_assets/
.venv/
__pycache__/
*.egg-info/
.pytest_cache/
target/
logs/
""",
    "{name}/__init__.py": "",
    "{name}/definitions.py": '''\
"""Everything declared in ``defs/``."""

from pathlib import Path

from ml_assets.project import load_project

defs = load_project(Path(__file__))
''',
    "{name}/defs/__init__.py": "",
    "tests/test_definitions.py": '''\
"""What is declared loads, and says what it is."""

import dagster as dg


def test_what_is_declared_loads_and_every_asset_is_described(tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    from {name}.definitions import defs

    dg.Definitions.validate_loadable(defs)
    assert [spec.key.to_user_string() for spec in defs.resolve_all_asset_specs() if not spec.description] == []
''',
}
