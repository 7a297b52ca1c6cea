"""Opens a project: the one that a folder lies in, with the home that the settings name."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.code_version import DeclaringProject, current_project
from ml_assets.declarations.project import DeclaredProject
from ml_assets.environment import prepare_libraries, set_defaults
from ml_assets.home import OPENMP, Home
from ml_assets.settings import read_settings

if TYPE_CHECKING:
    from ml_assets.public.project import Project
    from ml_assets.registry.registry import Registry


def open_project(folder: str | Path | None = None) -> "Project":
    """Open a project, to read from it.

    Args:
        folder: a folder or file in the project; by default the project that ``ML_ASSETS_PROJECT`` names, else the one
            that the working directory lies in.

    Its state is looked for where the commands keep it: in ``ML_ASSETS_HOME``, else in ``.ml_assets`` of the project.

    Raises:
        NoProject: there is none.
        SettingsError: a variable of the environment has a value that it must not have.
    """
    from ml_assets.lake import Lake
    from ml_assets.public.project import Project
    from ml_assets.training.kinds.base import check_installed_kinds

    settings = read_settings()
    project = current_project(settings.project if folder is None else Path(folder))
    home = Home.of(settings, project.folder)
    prepare_libraries()
    set_defaults(OPENMP)
    check_installed_kinds()
    return Project(project.folder, read_declared(project, home), Lake(home.lake), partial(_open_registry, home))


def read_declared(project: DeclaringProject, home: Home | None = None) -> DeclaredProject:
    """Read what a project declares: without Dagster, unless there is something that only Dagster can read.

    Args:
        home: where its state lies, for declarations that name it.
    """
    from ml_assets.declarations.python_files import NeedsDagster
    from ml_assets.declarations.reading import read_declarations

    try:
        declared = read_declarations(project)
    except NeedsDagster:
        from ml_assets.components.project.tree import read_tree

        return read_tree(project.folder / project.package, home)
    return DeclaredProject([(placed.use_case, placed.spec) for placed in declared.declarations], declared.faults)


def _open_registry(home: Home) -> "Registry":
    from ml_assets.registry.registry import EXPERIMENT, Registry

    return Registry(home.mlflow, home.mlflow_artifacts or None, EXPERIMENT)
