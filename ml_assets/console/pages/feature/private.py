"""Columns of a project's tables that are shown to nobody."""

from typing import Any

from ml_assets.declarations.private import PrivateColumns
from ml_assets.public.project import Project


def private_of_project(project: Project, records: Any) -> PrivateColumns:
    """Return what says which columns of a table are private.

    Args:
        records: Dagster's, which hold of which columns a table's columns were made when it was built last.
    """
    contracts = {source.table("validated"): source.contract for source in project.sources.values()}
    spines = {spine.table: spine.contract for spine in project.spines.values() if spine.contract}
    return PrivateColumns(spines | contracts, lambda table: records.lineage(table.split("/")))
