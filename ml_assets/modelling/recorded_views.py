"""The views that a version was trained on, where they are declared otherwise now, and what is left of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.row.features import computable
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.lake import Lake
from ml_assets.sources.spec import DROP


class RecordedView(DeclaredView):
    """A view as a version was trained on it, where it is declared otherwise now, or no more."""


def recorded_view(view: FeatureViewSpec, declared: DeclaredView | None, spine: str) -> DeclaredView:
    """Return the declared view if it means the same as the recorded view, down to every feature; else the recorded
    view."""
    meant = set(FeatureViewSpec.model_fields) - {"description", "owners", "freshness"}
    if declared is not None and view.model_dump(include=meant) == declared.model_dump(include=meant):
        return declared
    return RecordedView(**view.model_dump(), spine=spine)


@dataclass(frozen=True)
class ColumnsInUse:
    """Which columns of tables have values in some drops.

    A table in the lake keeps a column that its contract has given up: it is empty in what is delivered since.
    """

    lake: Lake
    contracts: Mapping[str, str]
    drops: Sequence[str]

    def of(self, table: str, partition: str) -> set[str]:
        rows = self.lake.scan(table)
        columns = {*rows.collect_schema().names()}
        given_up = columns - self._declared(table, columns) - {partition}
        last = max(self.drops, default=None)
        if last is None or not given_up or partition not in columns:
            return columns
        counted = rows.filter(pl.col(partition) == last).select(pl.col(sorted(given_up)).count())
        return columns - {name for name, values in counted.collect().row(0, named=True).items() if not values}

    def _declared(self, table: str, columns: set[str]) -> set[str]:
        if table not in self.contracts:
            return columns
        from ml_assets.quality.contracts import contract_schema, load_contract

        return {*contract_schema(load_contract(self.contracts[table]))}


def features_without_columns(view: DeclaredView, spine: DeclaredSpine, columns: ColumnsInUse) -> tuple[list[str], str]:
    """Return the features of a view that cannot be had, and why."""
    kept, table = stored_features(view), view.table
    of_spine = columns.of(spine.table, spine.partition)
    gone = [column for column in view.spine_columns if column not in of_spine]
    if gone:
        keyless = bool({*gone} & {*view.stored_by})
        lost = _lost(view, of_spine, of_table=not keyless)
        return [*(kept if keyless else []), *lost], f"{spine.table} has no {', '.join(gone)}"
    if table is None:
        return [], ""
    of_table = [*kept, *_lost(view, of_spine, of_table=False)]
    if not columns.lake.exists(table):
        return of_table, f"there is no table {table}"
    there = columns.of(table, DROP)
    gone = [column for column in view.table_columns if column not in there]
    return (of_table, f"{table} has no {', '.join(gone)}") if gone else ([], "")


def _lost(view: DeclaredView, of_spine: set[str], *, of_table: bool) -> list[str]:
    """Return the features of the row that cannot be computed."""
    left = computable(view, of_spine, of_table=of_table).feature_names
    return [name for name in view.feature_names if name not in left]
