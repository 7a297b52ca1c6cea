"""Spine: the rows to predict, declared once and shared by feature views and models."""

import dagster as dg
import polars as pl
from pydantic import Field

from ml_assets.components.partitions import partitions_of
from ml_assets.components.scaffolders import SpineScaffolder
from ml_assets.lake import Lake
from ml_assets.sources.spec import Drops
from ml_assets.training.spec import SpineSpec


class SharedSpine(SpineSpec):
    """Rows to predict: entity keys and prediction time, cut into drops."""

    name: str = Field(description="Name by which feature views and models refer to it.")
    partition: str = Field(description="Column of the table that names the drop a row belongs to.")
    drops: Drops = Field(description="How the rows are cut into drops: the same as the source they come from.")
    contract: str = Field(
        default="",
        description="Pandera model of the table, as `package.module:Class`: what a request to the server may hold; a"
        " column that it lacks may hold anything. The validated table of a source has the source's.",
    )


@dg.scaffold_with(SpineScaffolder)
class Spine(SharedSpine, dg.Component, dg.Resolvable):
    """The rows to predict. It makes no asset of its own: its table is one already."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        return dg.Definitions()

    def rows(self, lake: Lake, drops: list[str], columns: list[str]) -> pl.DataFrame:
        """The spine's rows of some drops: partition, time and the given columns."""
        wanted = list(dict.fromkeys([self.partition, self.time, *columns]))
        return lake.scan(self.table).filter(pl.col(self.partition).is_in(drops)).select(wanted).collect()

    @property
    def partitions_def(self) -> dg.PartitionsDefinition | None:
        return partitions_of(self.drops)


def find_spine(context: dg.ComponentLoadContext, name: str) -> Spine:
    """The spine declared under ``name``; raises ValueError naming the ones there are."""
    spines = {spine.name: spine for spine in context.component_tree.get_all_components(of_type=Spine)}
    if name not in spines:
        raise ValueError(f"spine: {name!r} is not declared; there are {', '.join(sorted(spines)) or 'none'}")
    return spines[name]
