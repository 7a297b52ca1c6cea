"""One scaffolder for each component: what it infers from a sample or from the project, as a declaration."""

import dagster as dg

from ml_assets.components.scaffolders.folder import ScaffoldedFolder
from ml_assets.components.scaffolders.params import (
    DbtTablesParams,
    FeatureViewParams,
    MLModelParams,
    OutcomeParams,
    SourceParams,
    SpineParams,
)


class SourceScaffolder(dg.Scaffolder[SourceParams]):
    """A source and its contract, inferred from a sample of its rows where it can be read."""

    @classmethod
    def get_scaffold_params(cls) -> type[SourceParams]:
        return SourceParams

    def scaffold(self, request: dg.ScaffoldRequest[SourceParams]) -> None:
        from ml_assets.scaffolding.samples.sample import file_format_of, read_sample
        from ml_assets.scaffolding.sources.declaration import infer_source, template_source
        from ml_assets.scaffolding.sources.wanted import Wanted

        with ScaffoldedFolder(request) as folder:
            folder.check()
            given = request.params
            where = given.model_dump(include={"path", "package", "file", "query", "connection"}, exclude_none=True)
            if where:
                kind = given.file_format or file_format_of(given.path or "")
                options = given.model_dump(include={"timestamp", "grain", "time_zone", "label", "known_at"})
                options |= given.model_dump(include={"order_start", "order_step", "order_by"})
                wanted = Wanted(where, kind, tuple(given.key), **options)
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
        from ml_assets.scaffolding.spine import infer_made_spine, infer_spine

        with ScaffoldedFolder(request) as folder:
            folder.check()
            given = request.params
            rows = {"table": given.table, "key": given.key, "timestamp": given.timestamp}
            if given.cron:
                values = infer_made_spine(folder.declared(), folder.name, given.cron, given.time_zone, **rows)
            else:
                values = infer_spine(folder.declared(), folder.name, **rows).values
            folder.add("Spine", values)


class FeatureViewScaffolder(dg.Scaffolder[FeatureViewParams]):
    """A view over a declared source, and the spine where the project has none."""

    @classmethod
    def get_scaffold_params(cls) -> type[FeatureViewParams]:
        return FeatureViewParams

    def scaffold(self, request: dg.ScaffoldRequest[FeatureViewParams]) -> None:
        from ml_assets.scaffolding.spine import find_or_infer_spine
        from ml_assets.scaffolding.view import infer_view

        with ScaffoldedFolder(request) as folder:
            folder.check()
            given, declared = request.params, folder.declared()
            # A table to summarise is not the one to predict, unless nothing else is given.
            rows_of = "" if given.entity and len(declared.sources) > 1 else given.table
            spine, new = find_or_infer_spine(declared, given.spine, rows_of, given.timestamp)
            options = given.model_dump(include={"table", "entity", "known_at", "label"})
            view = infer_view(declared, spine, folder.name, windows=given.window, **options)
            if new:
                folder.add("Spine", new.values)
            folder.add("FeatureView", view.values, view.notes)


class OutcomeScaffolder(dg.Scaffolder[OutcomeParams]):
    """What comes of the rows of a spine, by the facts of a declared source."""

    @classmethod
    def get_scaffold_params(cls) -> type[OutcomeParams]:
        return OutcomeParams

    def scaffold(self, request: dg.ScaffoldRequest[OutcomeParams]) -> None:
        from ml_assets.scaffolding.outcome import infer_outcome
        from ml_assets.scaffolding.spine import find_or_infer_spine

        with ScaffoldedFolder(request) as folder:
            folder.check()
            given, declared = request.params, folder.declared()
            spine, new = find_or_infer_spine(declared, given.spine, "", "")
            outcome = infer_outcome(declared, spine, folder.name, **given.model_dump(exclude={"spine"}))
            if new:
                folder.add("Spine", new.values)
            folder.add("Outcome", outcome.values, outcome.notes)


class DbtTablesScaffolder(dg.Scaffolder[DbtTablesParams]):
    """The SQL models of a use case, in a dbt project that is there."""

    @classmethod
    def get_scaffold_params(cls) -> type[DbtTablesParams]:
        return DbtTablesParams

    def scaffold(self, request: dg.ScaffoldRequest[DbtTablesParams]) -> None:
        from ml_assets.scaffolding.tables import infer_tables

        with ScaffoldedFolder(request) as folder:
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
        from ml_assets.scaffolding.model import check_no_leak, infer_label, infer_model, read_rows
        from ml_assets.scaffolding.spine import find_or_infer_spine
        from ml_assets.scaffolding.view import infer_view

        with ScaffoldedFolder(request) as folder:
            folder.check()
            given, declared = request.params, folder.declared()
            spine, new = find_or_infer_spine(declared, given.spine, given.table, given.timestamp)
            label = infer_label(declared, spine, given.label, given.known_at, given.outcome)
            views = given.view or [view.name for view in declared.views.values() if view.spine == spine.name]
            check_no_leak(declared, label, views)
            if new:
                folder.add("Spine", new.values)
            if not views:
                of_row = "" if label.after is not None else label.name
                view = infer_view(declared, spine, f"{folder.name}_row", label=of_row)
                folder.add("FeatureView", view.values, view.notes)
                views = [view.values["name"]]
            model = infer_model(folder.name, spine, label, views, given.task, read_rows(declared, spine, label))
            folder.add("MLModel", model.values, model.notes)
