"""What a command works with: settings, the home, and what the project declares."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ml_assets.code_version import DeclaringProject, current_project
from ml_assets.commands.exits import print_errors, print_warnings
from ml_assets.environment import hand_down
from ml_assets.home import Home

if TYPE_CHECKING:
    import dagster as dg

    from ml_assets.declarations.project import DeclaredProject
    from ml_assets.registry.registry import Registry
    from ml_assets.serving.access.key_file import KeyFile
    from ml_assets.settings import Settings


class Session:
    """One command's view of the outside. Nothing is read before it is needed: ``--help`` reads nothing.

    Args:
        named: the folder of ``--project``.
    """

    def __init__(self, named: Path | None = None) -> None:
        self._named = named

    @cached_property
    def settings(self) -> Settings:
        """The settings of the environment, with what the command line says instead.

        Raises:
            SettingsError: a variable has a value that it must not have.
        """
        from ml_assets.commands.settings_check import misspelt_variables
        from ml_assets.settings import read_settings

        settings = read_settings()
        print_warnings(misspelt_variables())
        project = self._named or settings.project
        if project is None:
            return settings
        hand_down(ML_ASSETS_PROJECT=str(project.resolve()))
        return settings.model_copy(update={"project": project.resolve()})

    @property
    def project(self) -> DeclaringProject:
        """The project that is named, else the one that the working directory lies in; raises NoProject."""
        return current_project(self.settings.project)

    def open_home(self) -> Home:
        """Return the home as it is, for commands that only read: no folder is made."""
        from ml_assets.training.kinds.base import check_installed_kinds

        check_installed_kinds()
        home = Home.of(self.settings, None if self.settings.home else self.project.folder)
        self._enter(home)
        return home

    def prepare_home(self) -> Home:
        """Return the home; its folders are made if they do not exist."""
        home = self.open_home()
        home.prepare()
        return home

    @contextmanager
    def borrow_home(self) -> Iterator[Home]:
        """Open the home if it exists, else a temporary one: for commands that must leave no trace."""
        home = self.open_home()
        if home.root.exists():
            yield home
            return
        with tempfile.TemporaryDirectory() as folder:
            self.settings = self.settings.model_copy(update={"home": Path(folder)})
            home = Home.of(self.settings)
            self._enter(home)
            yield home

    def _enter(self, home: Home) -> None:
        # What is loaded later looks where this command does.
        self.settings = self.settings.model_copy(update={"home": home.root})
        home.enter()

    def open_keys(self, home: Home) -> KeyFile:
        """Return the file of the keys that servers of a home let in."""
        from ml_assets.serving.access.key_file import KeyFile

        return KeyFile(self.settings.key_file or home.keys)

    def open_registry(self, home: Home) -> Registry:
        """Return MLflow's registry of a home."""
        from ml_assets.registry.registry import EXPERIMENT, Registry

        return Registry(home.mlflow, home.mlflow_artifacts or None, EXPERIMENT, home.trackers)

    def load_definitions(self, use_case: str = "", model: str = "") -> dg.Definitions:
        """Load the project's definitions; what is wrong in use cases that are not wanted is printed.

        Raises:
            DeclarationError: something is wrong in the use case, or in the one that may declare the model.
        """
        with loading_a_project():
            from ml_assets.automation.projects import declared_models, tree_of
            from ml_assets.declarations.problems import DeclarationError
            from ml_assets.project import load_current

            definitions = load_current(self.settings)
        left_out = tree_of(definitions).left_out
        if use_case in left_out:
            raise DeclarationError(left_out[use_case])
        if left_out and model and model not in declared_models(definitions):
            raise DeclarationError("\n".join(left_out.values()))
        print_errors(left_out.values())
        return definitions

    def read_declarations(self, model: str = "") -> DeclaredProject:
        """Read what the project declares, without Dagster where it can be; what is wrong is among its faults, and is
        printed where one model is wanted that is right.

        Raises:
            DeclarationError: the model that is wanted is declared nowhere, but may be where something is wrong.
        """
        from ml_assets.commands.current import read_current

        project = read_current(self.settings)
        if model:
            wrong = [fault.message for fault in project.faults]
            if wrong and model not in project.models:
                from ml_assets.declarations.problems import DeclarationError

                raise DeclarationError("\n".join(wrong))
            print_errors(wrong)
        return project


@contextmanager
def loading_a_project() -> Iterator[None]:
    """Load what a process works with that runs, tries or replays models, and nothing else.

    It looks for garbage seldom from here on, and never again among what is loaded within, which stays for good: a run
    makes many objects and few cycles, and Python looks through all there are again and again, a twentieth of the
    processor time of a life. Libraries of trees are imported alone, see ``ml_assets.training.kinds.lean``.
    """
    from ml_assets.training.kinds.lean import claim_process

    gc.set_threshold(20_000, 20, 20)
    claim_process("ml-assets")
    yield
    gc.freeze()


def session_of(context: typer.Context) -> Session:
    """Return the session that the program's callback has put into a command's context."""
    return context.ensure_object(Session)
