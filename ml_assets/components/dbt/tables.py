"""DbtTables: the dbt models of one use case as assets, their marts committed to the lake."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from ml_assets.components.conditions import follow_together
from ml_assets.components.dbt.specs import DbtModel, dbt_specs
from ml_assets.components.metadata.tables import column_schema, data_version, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, WHOLE, partitions_of
from ml_assets.components.project.tree import home_of
from ml_assets.components.scaffolders.components import DbtTablesScaffolder
from ml_assets.components.stages import STAGE, STATIC_TABLE, TABLE
from ml_assets.declarations.specs import DeclaredDbtTables
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource
from ml_assets.transform.build import BuildReport, build_models
from ml_assets.transform.lineage import column_lineage
from ml_assets.transform.mart import read_mart
from ml_assets.transform.project import DbtFailed, DbtProject

Specs = dict[str, DbtModel]


@dg.scaffold_with(DbtTablesScaffolder)
class DbtTables(DeclaredDbtTables, dg.Component, dg.Resolvable):
    """Models of a dbt project: staging views, and marts that are kept as Delta tables in the lake."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        home = home_of(context)
        project = DbtProject(context.project_root / self.project, home.dbt, home.lake)
        if not (project.folder / "dbt_project.yml").exists():
            raise ValueError(
                f"project: there is no dbt project {self.project} beside pyproject.toml: `dbt init` makes one, or name "
                "its folder"
            )
        try:
            specs = dbt_specs(project)
        except DbtFailed as error:
            raise ValueError(f"project: {error}") from error
        models = {uid: s for uid, s in specs.items() if s.path.startswith(self.folder) and s.kind != "source"}
        return dg.Definitions(assets=[_models_asset(self, project, specs, models)])


def _models_asset(declared: DbtTables, project: DbtProject, specs: Specs, models: Specs) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"dbt_{declared.folder.replace('/', '_')}",
        specs=_asset_specs(declared, specs, models),
        check_specs=[
            dg.AssetCheckSpec(t.name, asset=dg.AssetKey(m.key), description=t.description, blocking=t.blocking)
            for m in models.values()
            for t in m.tests
        ],
        backfill_policy=None if declared.drops.grain == WHOLE else SINGLE_RUN,
        # Every run writes whole tables: of two at once, the one that read less could write last.
        pool=f"dbt_{declared.folder.replace('/', '_')}",
    )
    def dbt_models(lake: LakeResource) -> Iterator:
        with TemporaryDirectory(prefix="dbt-") as scratch:
            report = build_models(project, declared.select, Path(scratch))
            by_name = {model.name: model for model in models.values()}
            for built in report.models:
                yield _materialize(lake.open(), specs, by_name[built.name], built)
        yield from _check_results(models, report)

    return dbt_models


def _asset_specs(declared: DbtTables, specs: Specs, models: Specs) -> list[dg.AssetSpec]:
    partitions = partitions_of(declared.drops)
    made = {dg.AssetKey(model.key) for model in models.values()}
    read = {dg.AssetKey(specs[parent].key) for model in models.values() for parent in model.parents}
    condition = follow_together(partitions, made, read - made)
    return [
        dg.AssetSpec(
            dg.AssetKey(model.key),
            deps=[dg.AssetKey(specs[parent].key) for parent in model.parents],
            description=model.description or declared.description,
            group_name=model.group,
            owners=model.owners or declared.owners,
            tags={**declared.tags, **model.tags, STAGE: STATIC_TABLE if partitions is None else TABLE},
            kinds={"dbt", "duckdb", "view" if model.kind == "view" else "delta"},
            code_version=model.code_version,
            skippable=True,
            metadata={"dagster/column_schema": _documented(model)} if model.columns else {},
            partitions_def=partitions,
            automation_condition=condition,
        )
        for model in models.values()
    ]


def _materialize(lake: Lake, specs: Specs, model: DbtModel, built) -> dg.MaterializeResult:
    key = dg.AssetKey(model.key)
    metadata = {
        "dagster/column_lineage": _lineage(lake, specs, model, built.compiled_sql),
        "seconds": round(built.seconds, 3),
    }
    if built.path is None:
        metadata["dagster/column_schema"] = _documented(model)
        return dg.MaterializeResult(asset_key=key, metadata=metadata)
    frame = read_mart(model.name, built.path)
    written = lake.replace("/".join(model.key), frame)
    metadata |= table_metadata(written, frame, model.columns)
    return dg.MaterializeResult(asset_key=key, metadata=metadata, data_version=data_version(written))


def _documented(model: DbtModel) -> dg.TableSchema:
    return column_schema(pl.Schema(dict.fromkeys(model.columns, pl.Unknown())), model.columns)


def _lineage(lake: Lake, specs: Specs, model: DbtModel, sql: str) -> dg.TableColumnLineage:
    parents = {specs[uid].relation: specs[uid] for uid in model.parents}
    columns = {relation: _columns(lake, parent) for relation, parent in parents.items()}
    traced = column_lineage(sql, columns, list(model.columns))
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key=dg.AssetKey(parents[relation].key), column_name=name)
                for relation, name in made_of
            ]
            for column, made_of in traced.items()
        }
    )


def _columns(lake: Lake, model: DbtModel) -> list[str]:
    if model.kind == "source":
        return lake.scan("/".join(model.key)).collect_schema().names()
    return list(model.columns)


def _check_results(models: Specs, report: BuildReport) -> Iterator[dg.AssetCheckResult]:
    guarded = {t.unique_id: (m, t) for m in models.values() for t in m.tests}
    for test in report.tests:
        model, spec = guarded[test.unique_id]
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey(model.key),
            check_name=spec.name,
            passed=test.passed,
            severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
            metadata={"broken_rows": test.failures, "threshold": 0, "message": test.message or "passed"},
        )
