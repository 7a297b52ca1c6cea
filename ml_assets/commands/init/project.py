"""A new project: a folder in which sources, features and models are declared."""

import re
from pathlib import Path

from ml_assets import __version__
from ml_assets.commands.init.example import copy_example, examples
from ml_assets.commands.init.files import FILES
from ml_assets.commands.init.origin import PLATFORM, uv_source


def create_project(folder: Path, example: str = "") -> list[Path]:
    """Write the files of a project named like the folder; return them.

    Args:
        folder: a new or empty folder; its name becomes the package's.
        example: a use case that ships, to begin with; none by default.

    Raises:
        ValueError: the name is no Python package name, the folder holds something, or no such example ships.
    """
    name = folder.resolve().name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} must be lower case letters, digits and _, and begin with a letter: it is a package")
    if name == PLATFORM:
        raise ValueError(f"{name!r} is the platform's own name: choose another one")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: name a new folder")
    if example and example not in examples():
        raise ValueError(f"no example {example!r} ships; there are {', '.join(examples())}")
    extra = "[demo]" if example else ""
    filled = {"name": name, "requirement": f"{PLATFORM}{extra}>={__version__}", "source": uv_source()}
    written = []
    for path, template in FILES.items():
        file = folder / path.replace("{name}", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_fill(template, filled), encoding="utf-8")
        written.append(file)
    return written + (copy_example(example, folder) if example else [])


def _fill(template: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        template = template.replace(f"{{{key}}}", value)
    return template
