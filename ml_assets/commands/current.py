"""What the current project declares, for commands that only look."""

import sys

from ml_assets.code_version import current_project
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.python_files import NeedsDagster
from ml_assets.declarations.reading import read_declarations
from ml_assets.settings import Settings


def read_current(settings: Settings) -> DeclaredProject:
    """Read what the project declares that settings name, else the one that the working directory lies in; what is
    wrong in it is among the faults.

    Raises:
        NoProject: there is none.
        DeclarationError: something is wrong in a project that only Dagster can read.
    """
    try:
        project = current_project(settings.project)
        if "dagster" in sys.modules:  # nothing would be gained
            raise NeedsDagster(project.package)
        declared = read_declarations(project)
    except NeedsDagster:
        from ml_assets.automation.projects import declared_in
        from ml_assets.project import load_current

        return declared_in(load_current(settings))
    return DeclaredProject([(placed.use_case, placed.spec) for placed in declared.declarations], declared.faults)
