"""Declarations made in Python, read without Dagster: the components that a file names are their fields alone."""

import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from ml_assets.code_version import DeclaringProject
from ml_assets.declarations.problems import DeclarationError
from ml_assets.declarations.specs import SPECS, name_of

_PLATFORM = "ml_assets"

_declared: list[tuple[BaseModel, int]] | None = None


class NeedsDagster(Exception):
    """A declaration that only Dagster can read: another package's component, a template, assets of one's own."""


def stand_in(name: str) -> Any:
    """Return what ``ml_assets`` offers under a name while a file is read without Dagster; None at any other time."""
    if _declared is None:
        return None
    return _note if name == "declare" else SPECS[name]


def make_importable(project: DeclaringProject) -> None:
    """Let a project's package be imported from its own folder: it need not be installed.

    A package of the same name that was imported from elsewhere, of another project, is forgotten: the project's modules
    would be looked for in it.
    """
    root, folder = project.package.partition(".")[0], str(project.folder)
    if root == _PLATFORM:
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return
    imported, own = sys.modules.get(root), (project.folder / root).resolve()
    if imported is not None and own not in _folders(imported):
        _forget(root)
    first = next((entry for entry in sys.path if Path(entry, root).is_dir()), None)
    if first is None or Path(first, root).resolve() != own:
        sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
        importlib.invalidate_caches()


def _folders(package: ModuleType) -> list[Path]:
    return [Path(folder).resolve() for folder in getattr(package, "__path__", ())]


def read_python_file(module: str, package: str) -> list[tuple[BaseModel, int]]:
    """Return what a module of the package of declarations declares, and the line of each.

    Raises:
        NeedsDagster: it, or what it imports, uses Dagster.
        Exception: whatever the module raises.
    """
    loaded = "dagster" in sys.modules
    with _reading(package) as declared:
        importlib.import_module(module)
        if "dagster" in sys.modules and (not loaded or _use_dagster(_own_modules(_root_of(package)).values())):
            raise NeedsDagster(module)
        return list(declared)


@contextmanager
def _reading(package: str) -> Iterator[list[tuple[BaseModel, int]]]:
    """Replace what ``ml_assets`` offers by stand-ins; the project's own modules are imported anew meanwhile, and
    afterwards are what they were."""
    global _declared
    root = _root_of(package)
    before = _forget(root)
    _declared = []
    try:
        yield _declared
    finally:
        _declared = None
        _forget(root)
        sys.modules.update(before)


def _root_of(package: str) -> str:
    """Return the package whose modules are the project's own."""
    return package if package.startswith("ml_assets.") else package.partition(".")[0]


def _own_modules(root: str) -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name == root or name.startswith(f"{root}.")}


def _forget(root: str) -> dict[str, ModuleType]:
    """Take a package and all below it out of the imported modules; return them."""
    own = _own_modules(root)
    for name in own:
        del sys.modules[name]
    return own


def _use_dagster(modules: Iterable[ModuleType]) -> bool:
    """Return whether a module has something of Dagster in its namespace."""
    return any(_is_of_dagster(value) for module in modules for value in vars(module).values())


def _is_of_dagster(value: Any) -> bool:
    homes = (value.__name__,) if isinstance(value, ModuleType) else (_home(value), _home(type(value)))
    return any(home.partition(".")[0] == "dagster" for home in homes)


def _home(value: Any) -> str:
    home = getattr(value, "__module__", None)
    return home if isinstance(home, str) else ""


def _note(module: str, *specs: BaseModel) -> None:
    """Note what ``ml_assets.declare`` is given, in its place, while a file is read without Dagster."""
    line = inspect.stack(0)[1].lineno
    namespace = sys.modules[module]
    for spec in specs:
        name = name_of(spec)
        if hasattr(namespace, name):
            raise DeclarationError(f"{namespace.__file__}:{line}: name: {name!r} is there already")
        setattr(namespace, name, spec)
        if _declared is not None:
            _declared.append((spec, line))


def module_of(file: Path, root: Path, package: str) -> str:
    """Return the dotted name of a file below the folder of a package."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])
