"""Spine: the rows to predict, declared once and shared by feature views and models."""

import dagster as dg

from ml_assets.components.partitions import partitions_of
from ml_assets.components.scaffolders.components import SpineScaffolder
from ml_assets.declarations.specs import DeclaredSpine


@dg.scaffold_with(SpineScaffolder)
class Spine(DeclaredSpine, dg.Component, dg.Resolvable):
    """The rows to predict. It makes no asset of its own: its table is one already."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        return dg.Definitions()

    @property
    def partitions_def(self) -> dg.PartitionsDefinition | None:
        return partitions_of(self.drops)


def find_spine(context: dg.ComponentLoadContext, name: str) -> Spine:
    """Find the spine declared under ``name``; raises ValueError naming the spines that exist."""
    spines = {spine.name: spine for spine in context.component_tree.get_all_components(of_type=Spine)}
    if name not in spines:
        raise ValueError(f"spine: {name!r} is not declared; there are {', '.join(sorted(spines)) or 'none'}")
    return spines[name]
