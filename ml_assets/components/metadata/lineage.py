"""Of which columns an asset's columns are made, as its last materialization recorded it."""

from collections.abc import Sequence

import dagster as dg

LINEAGE = "dagster/column_lineage"


def recorded_lineage(instance: dg.DagsterInstance, key: str) -> dict[str, Sequence[tuple[str, str]]]:
    """Return column -> asset keys and columns that it is made of; empty where none was recorded.

    Args:
        key: asset key, parts joined by ``/``.
    """
    event = instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
    materialization = None if event is None else event.asset_materialization
    recorded = None if materialization is None else materialization.metadata.get(LINEAGE)
    if not isinstance(recorded, dg.TableColumnLineageMetadataValue):
        return {}
    return {
        column: [("/".join(each.asset_key.path), each.column_name) for each in made_of]
        for column, made_of in recorded.value.deps_by_column.items()
    }
