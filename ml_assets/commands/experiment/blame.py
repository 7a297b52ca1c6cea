"""Errors that a declaration brings when it is tried, with the file and line that have to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ml_assets.automation.projects import tree_of
from ml_assets.commands.exits import ExitCode, exit_code
from ml_assets.components.model.ml_model import MLModel
from ml_assets.declarations.problems import DeclarationError


@contextmanager
def blame_declaration(definitions: dg.Definitions, model: str) -> Iterator[None]:
    """Add file and line of a model's declaration to an error about what was declared or typed.

    Raises:
        DeclarationError: such an error was raised; others, such as those of data, pass as they are.
    """
    try:
        yield
    except ValueError as error:
        if isinstance(error, DeclarationError) or exit_code(error) is not ExitCode.WRONG:
            raise
        placed = tree_of(definitions).placed()
        mine = next((e for e in placed if isinstance(e.component, MLModel) and e.component.name == model), None)
        if mine is None:
            raise
        raise mine.error(str(error)) from error
