"""Outcome: what comes of each row of a spine, as an asset, one partition of the spine at a time."""

from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from ml_assets.components.conditions import follow_inputs
from ml_assets.components.declared import declaration_version, use_case
from ml_assets.components.features.spine import Spine, find_spine
from ml_assets.components.metadata.tables import Metadata, data_version, markdown, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.components.scaffolders.components import OutcomeScaffolder
from ml_assets.components.sources.source import Source
from ml_assets.components.stages import OUTCOME, STAGE
from ml_assets.declarations.specs import DeclaredOutcome, DeclaredSpine
from ml_assets.outcomes.audit import differing_outcomes
from ml_assets.outcomes.describe import describe_outcome
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.files import ComputedOutcomes, compute_to_files, facts_left_out
from ml_assets.resources import LakeResource

RECOMPUTED = "outcomes_recomputed"


@dg.scaffold_with(OutcomeScaffolder)
class Outcome(DeclaredOutcome, dg.Component, dg.Resolvable):
    """What comes of each row of a spine within a window after it: a label, and the moment at which it is known."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        sources = context.component_tree.get_all_components(of_type=Source)
        of_drops = next((source for source in sources if source.table("validated") == self.comes_with), None)
        spine = find_spine(context, self.spine)
        return dg.Definitions(assets=[_outcome_asset(self, spine, of_drops, use_case(context))])


def _outcome_asset(outcome: Outcome, spine: Spine, of_drops: Source | None, group: str) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"outcomes__{outcome.name}",
        specs=[_asset_spec(outcome, spine, group)],
        check_specs=[
            dg.AssetCheckSpec(
                RECOMPUTED,
                asset=dg.AssetKey(outcome.key.split("/")),
                description="A sample, recomputed one by one from the facts of its window that were known in time, "
                "is the same.",
                blocking=True,
            )
        ],
        backfill_policy=SINGLE_RUN,
    )
    def outcomes(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        tables, by = lake.open(), outcome.row(spine)
        facts, times = tables.scan(outcome.table), spine.times
        complete = outcome.completeness(tables, of_drops)
        until = complete.until
        # With the facts of a drop come the outcomes of earlier ones.
        due, own = outcome.due(tables, spine, of_drops), drops_of(context, spine.drops)
        drops = sorted({*own, *due})
        with TemporaryDirectory(prefix="ml_assets-outcomes-") as folder:
            rows = spine.scan(tables, drops, by)
            computed = compute_to_files(outcome, rows, facts, Path(folder), by=by, times=times, complete_until=until)
            written = tables.replace(outcome.key, computed.stored, {spine.partition: drops})
            return dg.MaterializeResult(
                metadata={
                    **_label_metadata(computed),
                    "facts_drops_without_rows": list(complete.drops_without_rows),
                    "facts_dated_ahead": complete.facts_ahead,
                    "earlier_drops": {drop: why for drop, why in due.items() if drop not in own},
                    "facts_left_out": facts_left_out(outcome, facts),
                    "table_versions_read": {table: tables.version(table) for table in _tables(outcome, spine)},
                    **table_metadata(written, computed.stored, describe_outcome(outcome, by)),
                },
                data_version=data_version(written),
                check_results=[_audit(outcome, computed, facts, times)],
            )

    return outcomes


def _tables(outcome: DeclaredOutcome, spine: DeclaredSpine) -> list[str]:
    """Return the tables that the outcome is computed from."""
    return list(dict.fromkeys([spine.table, outcome.table, outcome.comes_with]))


def _asset_spec(outcome: Outcome, spine: Spine, group: str) -> dg.AssetSpec:
    partitions = partitions_of(spine.drops)
    return dg.AssetSpec(
        dg.AssetKey(outcome.key.split("/")),
        deps=[dg.AssetKey(table.split("/")) for table in _tables(outcome, spine)],
        description=outcome.description,
        owners=outcome.owners,
        group_name=group,
        kinds={"polars", "delta"},
        tags={**outcome.tags, STAGE: OUTCOME},
        code_version=declaration_version(outcome),
        partitions_def=partitions,
        automation_condition=follow_inputs(partitions),
        metadata={"label": outcome.label, "window": outcome.window, "entity": outcome.spine_entity},
    )


def _label_metadata(computed: ComputedOutcomes) -> Metadata:
    counts = computed.counts
    mean = {} if counts.mean is None else {"mean_of_known_labels": round(counts.mean, 6)}
    return {
        "labels_known": counts.known,
        "labels_pending": counts.pending,
        "labels_undefined": counts.undefined,
        "rows_without_entity": counts.without_entity,
        **mean,
        "facts_too_late": counts.facts_too_late,
        "facts_complete_until": "never" if computed.complete_until is None else computed.complete_until.isoformat(),
    }


def _audit(
    outcome: DeclaredOutcome, computed: ComputedOutcomes, facts: pl.LazyFrame, times: OutcomeTimes
) -> dg.AssetCheckResult:
    differing = differing_outcomes(outcome, computed.rows, computed.outcomes, facts, times, computed.complete_until)
    return dg.AssetCheckResult(
        passed=differing.is_empty(),
        check_name=RECOMPUTED,
        metadata={
            "observed": differing.height,
            "threshold": 0,
            "rows_recomputed": computed.rows.height,
            "differing": markdown(differing.head(10)),
        },
    )
