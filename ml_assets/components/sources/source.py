"""Source: a declared delivery as raw, validated and quarantine tables, with the checks that guard them."""

import dagster as dg

from ml_assets.components.declared import use_case
from ml_assets.components.scaffolders.components import SourceScaffolder
from ml_assets.components.sources.gate import gate_asset
from ml_assets.components.sources.raw import raw_asset
from ml_assets.declarations.specs import DeclaredSource


@dg.scaffold_with(SourceScaffolder)
class Source(DeclaredSource, dg.Component, dg.Resolvable):
    """Where a table comes from, how it is cut into drops, and what it must satisfy."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        group = use_case(context)
        return dg.Definitions(assets=[raw_asset(self, group), gate_asset(self, group)])
