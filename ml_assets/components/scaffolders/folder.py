"""The folder that is scaffolded: a declaration and the files that it names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import dagster as dg

from ml_assets.code_version import DeclaringProject, project_of
from ml_assets.components.project.tree import ProjectTree, declarations_of
from ml_assets.declarations.python_files import make_importable
from ml_assets.declarations.specs import SPECS, DeclaredOutcome, DeclaredSource, DeclaredSpine, DeclaredView

if TYPE_CHECKING:
    from ml_assets.scaffolding.declared import ExistingDeclarations


class ScaffoldedFolder:
    """The folder that is scaffolded: written whole at the end, or not at all."""

    def __init__(self, request: dg.ScaffoldRequest[Any]) -> None:
        self.path = request.target_path
        self.name = request.target_path.name
        self.files: dict[str, str] = {}
        self._format = request.scaffold_format
        self._documents: list[str] = []

    def __enter__(self) -> "ScaffoldedFolder":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from ml_assets.declarations.problems import DeclarationError
        from ml_assets.scaffolding.document import LEGEND, render_comment
        from ml_assets.scaffolding.errors import ScaffoldError

        if error is None:
            text = render_comment(LEGEND) + "---\n".join(self._documents)
            for name, content in {"defs.yaml": text, **self.files}.items():
                (self.path / name).write_text(content)
            return
        # Dagster has made the folder already; one without a declaration would be left.
        if not any(self.path.iterdir()):
            self.path.rmdir()
        if isinstance(error, ScaffoldError | DeclarationError):
            raise click.ClickException(str(error)) from error

    def check(self) -> None:
        """Refuse a name that no asset can have, and a format that is not offered."""
        if self._format != "yaml":
            raise click.ClickException("a declaration is scaffolded as YAML: leave --format out")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise click.ClickException(
                f"{self.name!r} must be lower case letters, digits and _, and begin with a letter: it names the assets"
            )

    def add(self, component: str, values: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
        """Add the declaration of a component of this package, with the values of its fields and notes about them."""
        from ml_assets.scaffolding.document import render_document

        self._documents.append(render_document(f"ml_assets.{component}", SPECS[component], values, notes))

    @property
    def contract_module(self) -> str:
        """The import path of `contract.py` in this folder."""
        parts = self.path.relative_to(self._project.folder).parts
        if wrong := [part for part in parts if not part.isidentifier()]:
            raise click.ClickException(
                f"{wrong[0]!r} is no name of a Python package, which holds the contract: rename it"
            )
        return ".".join((*parts, "contract"))

    def declared(self) -> "ExistingDeclarations":
        """Read what the project declares already; other use cases that cannot be read are left out, with a word of
        each.

        Raises:
            DeclarationError: something in this use case, or in none, cannot be read.
        """
        from ml_assets.declarations.problems import DeclarationError

        make_importable(self._project)
        left_out: dict[str, str] = {}
        while True:
            tree = ProjectTree.for_project(self._project.folder / self._project.package)
            tree.leave_out(left_out)
            try:
                existing = self._existing(tree)
            except DeclarationError as error:
                wrong = error.by_use_case
                if not wrong or self.use_case in wrong or set(wrong) <= set(left_out):
                    raise
                left_out |= wrong
            else:
                break
        for use_case, problems in left_out.items():
            click.echo(f"nothing of {use_case} is considered, as it cannot be read: {problems}", err=True)
        return existing

    def _existing(self, tree: ProjectTree) -> "ExistingDeclarations":
        from ml_assets.scaffolding.declared import ExistingDeclarations

        sources = {source.name: source for source in declarations_of(tree, DeclaredSource)}
        spines = {spine.name: spine for spine in declarations_of(tree, DeclaredSpine)}
        views = {view.name: view for view in declarations_of(tree, DeclaredView)}
        outcomes = {outcome.name: outcome for outcome in declarations_of(tree, DeclaredOutcome)}
        own = frozenset(
            f"{type(placed.component).__name__.lower()} {placed.component.name}"
            for placed in tree.placed()
            if placed.use_case == self.use_case and isinstance(placed.component, DeclaredSource | DeclaredSpine)
        )
        return ExistingDeclarations(sources, spines, views, outcomes, own)

    @property
    def root(self) -> Path:
        """The folder of the project."""
        return self._project.folder

    @property
    def use_case(self) -> str:
        """The folder under ``defs/`` that this one lies in."""
        return self.path.relative_to(self._project.folder / self._project.package / "defs").parts[0]

    @property
    def _project(self) -> DeclaringProject:
        project = project_of(self.path)
        if project is None:
            raise click.ClickException(f"{self.path} lies in no project: `ml-assets init NAME` begins one")
        return project
