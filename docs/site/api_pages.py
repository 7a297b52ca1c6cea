"""One page for each package of the API: what its modules' docstrings say."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = {"automation", "commands", "components"}
"""Packages that people meet as commands, declarations, jobs and sensors, not as functions."""
LEFT_OUT = {"defs", "bundle", "dbt_project", "__pycache__", *SHELL}

Nav = list[dict[str, "str | Nav"]]


def pages() -> dict[str, str]:
    """Return the text of each page by its address."""
    return {_uri(package): _page(package, modules) for package, modules in _packages().items()}


def nav() -> Nav:
    """Return the table of contents: a package with packages in it is a part of its own."""
    parts: dict[str, list[str]] = defaultdict(list)
    for package in _packages():
        parts[package.split(".")[1] if "." in package else package].append(package)
    return [
        {part: _uri(packages[0])}
        if len(packages) == 1
        else {part: [{package.removeprefix("ml_assets."): _uri(package)} for package in packages]}
        for part, packages in parts.items()
    ]


def _packages() -> dict[str, list[str]]:
    packages: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "ml_assets").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if LEFT_OUT.isdisjoint(parts) and parts[-1] not in ("__init__", "cli", "definitions"):
            packages[".".join(parts[:-1])].append(".".join(parts))
    return dict(sorted(packages.items()))


def _uri(package: str) -> str:
    return f"api/{package}.md"


def _page(package: str, modules: list[str]) -> str:
    source = ROOT / package.replace(".", "/") / "__init__.py"
    about = ast.get_docstring(ast.parse(source.read_text())) if source.exists() else None
    return "\n".join([f"# {package}\n", f"{about or ''}\n", *(f"::: {module}\n" for module in modules)])
