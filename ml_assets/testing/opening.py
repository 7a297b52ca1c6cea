"""Opens a project's declarations over tables that tests give."""

from pathlib import Path
from typing import NoReturn

from ml_assets.code_version import current_project
from ml_assets.declarations.problems import DeclarationError
from ml_assets.public.opening import read_declared
from ml_assets.public.project import Project
from ml_assets.testing.frames import FramesLake
from ml_assets.testing.given import GivenProject


def project(folder: str | Path | None = None) -> GivenProject:
    """Open a project to test its declarations; neither its lake nor the environment is looked at.

    Args:
        folder: a folder or file in the project, such as ``__file__`` of a test; by default the working directory, which
            is where pytest is started.

    Raises:
        NoProject: there is none.
        DeclarationError: a declaration cannot be read; a line for each, with file, line and field.
    """
    found = current_project(None if folder is None else Path(folder))
    declared = read_declared(found)
    if declared.faults:
        raise DeclarationError("\n".join(fault.message for fault in declared.faults))
    lake = FramesLake("memory://given")
    return GivenProject(Project(found.folder, declared, lake, _no_registry), lake)


def _no_registry() -> NoReturn:
    raise LookupError("a project under test has no registry: open one with ml_assets.open_project")
