"""Build dbt models into scratch Parquet files and say how each model and test went."""

from dataclasses import dataclass
from pathlib import Path

from ml_assets.transform.project import DbtFailed, DbtProject


@dataclass(frozen=True)
class BuiltModel:
    """One model that was built; ``path`` is its Parquet file, None for a view."""

    name: str
    path: Path | None
    seconds: float
    compiled_sql: str


@dataclass(frozen=True)
class RunTest:
    """One test that ran; ``failures`` counts the rows that broke it."""

    unique_id: str
    passed: bool
    failures: int
    message: str | None


@dataclass(frozen=True)
class BuildReport:
    models: list[BuiltModel]
    tests: list[RunTest]


def build_models(project: DbtProject, select: str, scratch: Path) -> BuildReport:
    """Build and test the selected models, upstream first; a failed test holds back what lies behind it.

    Args:
        select: dbt node selection, such as ``path:models/shop``.
        scratch: an empty folder; marts are written to it as ``<model>.parquet``.

    Raises:
        DbtFailed: a model could not be built, or the selection is empty; with dbt's message for it.
    """
    results = project.invoke(["build", "--select", select], scratch, project.manifest()).results
    if not results:
        raise DbtFailed(f"dbt selection {select!r} matches no model of {project.folder}")
    broken = [r for r in results if r.node.resource_type == "model" and r.status == "error"]
    if broken:
        messages = "; ".join(f"{r.node.name}: {' '.join(str(r.message).split())}" for r in broken)
        raise DbtFailed(f"dbt could not build {messages}")
    models = [
        BuiltModel(
            name=r.node.name,
            path=scratch / f"{r.node.name}.parquet" if r.node.config.materialized == "external" else None,
            seconds=r.execution_time,
            compiled_sql=r.node.compiled_code,
        )
        for r in results
        if r.node.resource_type == "model" and r.status == "success"
    ]
    tests = [
        RunTest(r.node.unique_id, r.status == "pass", int(r.failures or 0), r.message)
        for r in results
        if r.node.resource_type == "test" and r.status != "skipped"
    ]
    return BuildReport(models, tests)
