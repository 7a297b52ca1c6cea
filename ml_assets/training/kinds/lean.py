"""Libraries of trees, imported without scikit-learn where nothing asks for it.

They load it, with SciPy's statistics and pandas, for their estimators of its form alone: a second of processor time and
100 MB.
"""

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

PARTS = ("compat", "sklearn", "dask")
"""Modules of such a library that know whether scikit-learn is there, in the order of their imports."""

_claims: list[str] = []
"""What has said that this process runs nothing but the platform."""


def claim_process(who: str) -> None:
    """Say that this process runs the platform's own code alone, such as one command: nobody in it expects estimators of
    scikit-learn's form in a library that the platform has imported."""
    _claims.append(who)


def import_for(kinds: Iterable[str]) -> None:
    """Import what models of some kinds need alone, in a process that is the platform's own and has no others."""
    from ml_assets.training.kinds.base import find_kind

    wanted = {type(find_kind(kind)) for kind in kinds}
    if _claims and len(wanted) == 1:
        wanted.pop().import_to_score()


def import_library(name: str) -> ModuleType:
    """Import a library of trees: as if scikit-learn were not installed, where the process is the platform's own."""
    if not _claims:
        return importlib.import_module(name)
    with hidden("sklearn"):
        return importlib.import_module(name)


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let imports of a package fail that has not been imported yet."""
    if package in sys.modules:
        yield
        return
    modules = cast("dict[str, Any]", sys.modules)
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]


def restore(libraries: Iterable[str] = ("xgboost", "lightgbm")) -> None:
    """Give libraries that were imported without scikit-learn their estimators of its form; models of theirs stay what
    they are."""
    for name in libraries:
        library = sys.modules.get(name)
        if library is None or sys.modules[f"{name}.compat"].SKLEARN_INSTALLED:
            continue
        for part in PARTS:
            if f"{name}.{part}" in sys.modules:
                importlib.reload(sys.modules[f"{name}.{part}"])
        importlib.reload(library)
