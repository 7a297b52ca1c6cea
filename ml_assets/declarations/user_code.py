"""Whose fault an exception is: a line of the project's own Python, or the platform's."""

import traceback
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ml_assets.code_version import PACKAGE
from ml_assets.declarations.problems import problems_of


def blame(error: BaseException, project: Path) -> str | None:
    """Return what is wrong in the project's own Python code, one line each: `file:line: Kind: message`.

    The line is the deepest of the project's that led to the error. None where no line of the project did, or where
    the platform failed at something that it does not refuse: that is a fault of its own.

    Args:
        project: the folder that paths are relative to.
    """
    place = _place(error, project)
    if place is None:
        return None
    file, line = place
    where = f"{file.relative_to(project)}:{line}"
    if isinstance(error, ValidationError):
        return "\n".join(problem.describe(lambda _: where) for problem in problems_of(error, BaseModel, None))
    # A refusal of ours says by itself what is wrong.
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(f"{where}: {kind}{message}".split())


def _place(error: BaseException, project: Path) -> tuple[Path, int] | None:
    if isinstance(error, SyntaxError) and error.filename:
        file = Path(error.filename)
        return (file, error.lineno or 1) if _is_own(file, project) else None
    frames = list(_frames(error))
    own = [(file, line) for file, line in frames if _is_own(file, project)]
    if not own:
        return None
    deepest = frames[-1][0]
    ours = deepest.is_relative_to(PACKAGE) and not _is_own(deepest, project)
    return None if ours and not isinstance(error, ValueError) else own[-1]


def _frames(error: BaseException) -> Iterator[tuple[Path, int]]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield Path(frame.f_code.co_filename), line


def _is_own(file: Path, project: Path) -> bool:
    """Return whether a file is the project's own, and neither a library's below it nor the platform's."""
    if not file.is_relative_to(project) or "site-packages" in file.parts:
        return False
    return not file.is_relative_to(PACKAGE) or file.is_relative_to(PACKAGE / "defs")
