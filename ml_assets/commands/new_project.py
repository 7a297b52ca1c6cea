"""A new project: a folder in which sources, features and models are declared."""

import re
from pathlib import Path

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=80"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"

[tool.setuptools.packages.find]
include = ["{name}*"]

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{name}"
code_location_target_module = "{name}.definitions"
code_location_name = "{name}"
registry_modules = ["ml_assets"]
""",
    "workspace.yaml": """\
load_from:
  - python_module:
      module_name: {name}.definitions
      location_name: {name}
      working_directory: .
""",
    ".gitignore": ".ml_assets/\n__pycache__/\n*.egg-info/\n",
    "{name}/__init__.py": "",
    "{name}/definitions.py": '''\
"""Everything declared in ``defs/``."""

from pathlib import Path

from ml_assets.project import load_project

defs = load_project(Path(__file__))
''',
    "{name}/defs/__init__.py": "",
}


def create_project(folder: Path) -> list[Path]:
    """Write the files of an empty project named like the folder; returns them.

    Raises:
        ValueError: the name is no Python package name, or the folder holds something already.
    """
    name = folder.resolve().name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} must be lower case letters, digits and _, and begin with a letter: it is a package")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: name a new folder")
    written = []
    for path, text in FILES.items():
        file = folder / path.format(name=name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(name=name))
        written.append(file)
    return written
