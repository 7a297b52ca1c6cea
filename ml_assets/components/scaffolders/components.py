"""`dg scaffold defs ml_assets.<Component> <folder>/<name>`: a folder that loads as it is, every field explained."""

import re
from collections.abc import Mapping
from typing import Any

import click
import dagster as dg
from pydantic import BaseModel, ConfigDict, Field

TASKS = "binary, multiclass, regression"


class SourceParams(BaseModel):
    """What is said about a source; the rest is told from a sample of its rows."""

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(default=None, description="File, folder or URL that the rows lie at.")
    package: str | None = Field(default=None, description="Installed package that holds the file.")
    file: str | None = Field(default=None, description="Path of the file inside the package.")
    query: str | None = Field(default=None, description="SQL SELECT that gives the rows.")
    connection: str | None = Field(default=None, description="Variable with the URL of the database.")
    file_format: str | None = Field(default=None, description="Format, where the name does not tell it.")
    key: list[str] = Field(default=[], description="Column of the key; may be given several times.")
    timestamp: str | None = Field(default=None, description="Column by which rows are cut into drops.")
    grain: str = Field(default="monthly", description="hourly, daily, weekly, monthly, quarterly, yearly or whole.")
    time_zone: str = Field(default="UTC", description="Time zone in which drops begin and end.")
    label: str | None = Field(default=None, description="Column of the outcome.")
    known_at: str | None = Field(default=None, description="Column of the moment the outcome is known.")
    order_start: str | None = Field(default=None, description="For rows without a time: the moment of the first.")
    order_step: str | None = Field(default=None, description="For rows without a time: from one to the next.")
    order_by: str | None = Field(default=None, description="Column of a row's place; default: its line in the file.")


class SpineParams(BaseModel):
    """What is said about a spine."""

    model_config = ConfigDict(extra="forbid")

    table: str = Field(default="", description="Source whose rows are predicted.")
    key: list[str] = Field(default=[], description="Column of the key; may be given several times.")
    timestamp: str = Field(default="", description="Column of the prediction time.")


class FeatureViewParams(BaseModel):
    """What is said about a feature view."""

    model_config = ConfigDict(extra="forbid")

    spine: str = Field(default="", description="Spine that the features are computed for.")
    table: str = Field(default="", description="Source or table that the features are told from.")
    entity: list[str] = Field(default=[], description="Column whose rows are summarised; several times for more.")
    known_at: str = Field(default="", description="Column of the moment that a row is known.")
    window: list[str] = Field(default=[], description="Window such as 7d; several times for more.")
    label: str = Field(default="", description="Column of the outcome, which is no feature.")
    timestamp: str = Field(default="", description="Column of the prediction time, of a new spine.")


class MLModelParams(BaseModel):
    """What is said about a model."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(default="", description="Column of the outcome.")
    known_at: str = Field(default="", description="Column of the moment the outcome is known.")
    task: str = Field(default="", description=f"One of {TASKS}.")
    view: list[str] = Field(default=[], description="Feature view; by default all of the spine.")
    spine: str = Field(default="", description="Spine that holds the rows to predict.")
    table: str = Field(default="", description="Source whose rows are predicted, of a new spine.")
    timestamp: str = Field(default="", description="Column of the prediction time, of a new spine.")


class DbtTablesParams(BaseModel):
    """What is said about the SQL models of a use case."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field(default="dbt_project", description="Folder of the dbt project.")
    folder: str = Field(default="", description="Folder of the models in it; default: models/<use case>.")


class SourceScaffolder(dg.Scaffolder[SourceParams]):
    """A source and its contract, inferred from a sample of its rows where it can be read."""

    @classmethod
    def get_scaffold_params(cls) -> type[SourceParams]:
        return SourceParams

    def scaffold(self, request: dg.ScaffoldRequest[SourceParams]) -> None:
        from ml_assets.scaffolding.samples.sample import file_format_of, read_sample
        from ml_assets.scaffolding.source import Wanted, infer_source, template_source

        with _Folder(request) as folder:
            folder.check()
            given = request.params
            where = given.model_dump(include={"path", "package", "file", "query", "connection"}, exclude_none=True)
            if where:
                kind = given.file_format or file_format_of(given.path or "")
                said = given.model_dump(include={"timestamp", "grain", "time_zone", "label", "known_at"})
                said |= given.model_dump(include={"order_start", "order_step", "order_by"})
                wanted = Wanted(where, kind, tuple(given.key), **said)
                source = infer_source(folder.name, folder.contract_module, wanted, read_sample(where, kind))
            else:
                source = template_source(folder.name, folder.contract_module, {"path": f"{folder.name}.csv"})
            folder.add("Source", source.values, source.notes)
            folder.files["contract.py"] = source.contract


class SpineScaffolder(dg.Scaffolder[SpineParams]):
    """The rows to predict, over a declared source."""

    @classmethod
    def get_scaffold_params(cls) -> type[SpineParams]:
        return SpineParams

    def scaffold(self, request: dg.ScaffoldRequest[SpineParams]) -> None:
        from ml_assets.scaffolding.spine import infer_spine

        with _Folder(request) as folder:
            folder.check()
            given = request.params
            spine = infer_spine(folder.declared(), folder.name, given.table, given.key, given.timestamp)
            folder.add("Spine", spine.values)


class FeatureViewScaffolder(dg.Scaffolder[FeatureViewParams]):
    """A view over a declared source, and the spine where the project has none."""

    @classmethod
    def get_scaffold_params(cls) -> type[FeatureViewParams]:
        return FeatureViewParams

    def scaffold(self, request: dg.ScaffoldRequest[FeatureViewParams]) -> None:
        from ml_assets.scaffolding.spine import find_or_infer_spine
        from ml_assets.scaffolding.view import infer_view

        with _Folder(request) as folder:
            folder.check()
            given, declared = request.params, folder.declared()
            # A table to summarise is not the one to predict, unless nothing else is said.
            rows_of = "" if given.entity and len(declared.sources) > 1 else given.table
            spine, new = find_or_infer_spine(declared, given.spine, rows_of, given.timestamp)
            said = given.model_dump(include={"table", "entity", "known_at", "label"})
            view = infer_view(declared, spine, folder.name, windows=given.window, **said)
            if new:
                folder.add("Spine", new.values)
            folder.add("FeatureView", view.values, view.notes)


class DbtTablesScaffolder(dg.Scaffolder[DbtTablesParams]):
    """The SQL models of a use case, in a dbt project that is there."""

    @classmethod
    def get_scaffold_params(cls) -> type[DbtTablesParams]:
        return DbtTablesParams

    def scaffold(self, request: dg.ScaffoldRequest[DbtTablesParams]) -> None:
        from ml_assets.scaffolding.tables import infer_tables

        with _Folder(request) as folder:
            folder.check()
            given, declared = request.params, folder.declared()
            models = given.folder or f"models/{folder.use_case}"
            folder.add("DbtTables", infer_tables(declared, folder.root, given.project, models))


class MLModelScaffolder(dg.Scaffolder[MLModelParams]):
    """A model over every view of a spine; the spine and a first view too where the project has none."""

    @classmethod
    def get_scaffold_params(cls) -> type[MLModelParams]:
        return MLModelParams

    def scaffold(self, request: dg.ScaffoldRequest[MLModelParams]) -> None:
        from ml_assets.scaffolding.model import check_no_leak, infer_label, infer_model
        from ml_assets.scaffolding.samples.sample import read_history
        from ml_assets.scaffolding.spine import find_or_infer_spine
        from ml_assets.scaffolding.view import infer_view

        with _Folder(request) as folder:
            folder.check()
            given, declared = request.params, folder.declared()
            spine, new = find_or_infer_spine(declared, given.spine, given.table, given.timestamp)
            label = infer_label(declared, spine, given.label, given.known_at)
            views = given.view or [view.name for view in declared.views.values() if view.spine == spine.name]
            check_no_leak(declared, label, views)
            if new:
                folder.add("Spine", new.values)
            if not views:
                view = infer_view(declared, spine, f"{folder.name}_row", label=label.name)
                folder.add("FeatureView", view.values, view.notes)
                views = [view.values["name"]]
            source = declared.source_of(spine.table)
            history = read_history(source, [spine.time, label.name, label.known_at]) if source else None
            model = infer_model(folder.name, spine, label, views, given.task, history)
            folder.add("MLModel", model.values, model.notes)


class _Folder:
    """The folder that is scaffolded: written whole at the end, or not at all."""

    def __init__(self, request: dg.ScaffoldRequest) -> None:
        self.path = request.target_path
        self.name = request.target_path.name
        self.files: dict[str, str] = {}
        self._format = request.scaffold_format
        self._documents: list[str] = []

    def __enter__(self) -> "_Folder":
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
        import ml_assets
        from ml_assets.scaffolding.document import render_document

        self._documents.append(render_document(f"ml_assets.{component}", getattr(ml_assets, component), values, notes))

    @property
    def contract_module(self) -> str:
        """The import path of `contract.py` in this folder."""
        parts = self.path.relative_to(self._project.folder).parts
        if wrong := [part for part in parts if not part.isidentifier()]:
            raise click.ClickException(
                f"{wrong[0]!r} is no name of a Python package, which holds the contract: rename it"
            )
        return ".".join((*parts, "contract"))

    def declared(self):
        """What the project declares already."""
        import sys

        from ml_assets.components.features.feature_view import FeatureView
        from ml_assets.components.features.spine import Spine
        from ml_assets.components.project.tree import ProjectTree
        from ml_assets.components.sources.source import Source
        from ml_assets.scaffolding.declared import ExistingDeclarations

        project = self._project
        if str(project.folder) not in sys.path:
            sys.path.insert(0, str(project.folder))
        tree = ProjectTree.for_project(project.folder / project.package)
        named = (
            {one.name: one for one in tree.get_all_components(of_type=kind)} for kind in (Source, Spine, FeatureView)
        )
        own = frozenset(
            f"{type(one.component).__name__.lower()} {one.component.name}"
            for one in tree.placed()
            if one.use_case == self.use_case and isinstance(one.component, Source | Spine)
        )
        return ExistingDeclarations(*named, own)

    @property
    def root(self):
        """The folder of the project."""
        return self._project.folder

    @property
    def use_case(self) -> str:
        """The folder under ``defs/`` that this one lies in."""
        return self.path.relative_to(self._project.folder / self._project.package / "defs").parts[0]

    @property
    def _project(self):
        from ml_assets.code_version import project_of

        return project_of(self.path)
