"""Source: a declared delivery as raw, validated and quarantine tables, with the checks that guard them."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from ml_assets.components.conditions import REFRESH_WHEN_STALE, follow_inputs
from ml_assets.components.declared import declaration_version, use_case
from ml_assets.components.drop_checks import results_by_drop
from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata import data_version, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, WHOLE, drops_of, partitions_of
from ml_assets.components.scaffolders import SourceScaffolder
from ml_assets.components.stages import SOURCE, STAGE, STATIC_SOURCE
from ml_assets.lake import Lake
from ml_assets.quality.checks import (
    Measured,
    bad_row_share,
    completeness,
    conservation,
    key_uniqueness,
    row_count,
)
from ml_assets.quality.gate import QUARANTINE_COLUMNS, GateResult
from ml_assets.resources import LakeResource
from ml_assets.sources.spec import SourceSpec

DROP = "_drop"

CHECKS = {
    "contract": "The share of rows that break the contract stays under the declared limit.",
    "conservation": "Every raw row is either validated or in quarantine.",
    "completeness": "No required column misses more values than declared.",
    "unique_key": "No key occurs twice in the validated rows.",
    "row_count": "The drop is about as large as the drops before it.",
}
BLOCKING = {"contract", "conservation", "unique_key"}


@dg.scaffold_with(SourceScaffolder)
class Source(SourceSpec, dg.Component, dg.Resolvable):
    """Where a table comes from, how it is cut into drops, and what it must satisfy."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        group = use_case(context)
        return dg.Definitions(assets=[_raw_asset(self, group), _gate_asset(self, group)])

    def table(self, table: str) -> str:
        """The asset key of ``raw``, ``validated`` or ``quarantine``."""
        return f"{self.name}/{table}"

    def asset_spec(self, table: str, group: str, description: str, deps: tuple[str, ...] = ()) -> dg.AssetSpec:
        partitions = partitions_of(self.drops)
        # Which drop of several is stale nobody can tell from their latest materialization: those are watched for.
        by_itself = REFRESH_WHEN_STALE if partitions is None else None
        return dg.AssetSpec(
            dg.AssetKey([self.name, table]),
            deps=[dg.AssetKey([self.name, dep]) for dep in deps],
            description=f"{self.description} {description}",
            owners=self.owners,
            group_name=group,
            kinds={"polars", "delta", *({"pandera"} if deps else ())},
            tags={STAGE: STATIC_SOURCE if self.drops.grain == WHOLE else SOURCE},
            code_version=declaration_version(self),
            partitions_def=partitions,
            freshness_policy=freshness_policy(self.freshness),
            automation_condition=follow_inputs(partitions) if deps else by_itself,
        )


def _raw_asset(source: Source, group: str) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{source.name}__raw",
        specs=[source.asset_spec("raw", group, "As delivered, typed, with the drop's name and content hash.")],
        backfill_policy=SINGLE_RUN,
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        from ml_assets.quality.contracts import contract_schema, load_contract
        from ml_assets.sources.read import read_drops

        schema = contract_schema(load_contract(source.contract))
        names = drops_of(context, source.drops)
        delivered = read_drops(source, names, schema)
        frame = pl.concat([delivered[name].frame for name in names])
        written = lake.open().replace(source.table("raw"), frame, {DROP: names})
        return dg.MaterializeResult(
            metadata={
                **table_metadata(written, frame),
                "content_hashes": {name: drop.content_hash for name, drop in delivered.items()},
                "rows_by_drop": {name: drop.frame.height for name, drop in delivered.items()},
                "extra_columns": sorted({c for drop in delivered.values() for c in drop.extra_columns}),
            },
            data_version=data_version(written),
        )

    return raw


def _gate_asset(source: Source, group: str) -> dg.AssetsDefinition:
    validated = dg.AssetKey([source.name, "validated"])

    @dg.multi_asset(
        name=f"{source.name}__gate",
        specs=[
            source.asset_spec("validated", group, "The rows that satisfy the contract.", ("raw",)),
            source.asset_spec(
                "quarantine",
                group,
                "The rows that break the contract, each with the rules it broke.",
                ("raw",),
            ),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                name,
                asset=validated,
                description=text,
                blocking=name in BLOCKING,
                partitions_def=partitions_of(source.drops),
            )
            for name, text in CHECKS.items()
        ],
        backfill_policy=SINGLE_RUN,
    )
    def gate(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator:
        from ml_assets.quality.contracts import contract_descriptions, load_contract
        from ml_assets.quality.gate import apply_contract

        tables = lake.open()
        names = drops_of(context, source.drops)
        contract = load_contract(source.contract)
        raw = {name: tables.scan(source.table("raw")).filter(pl.col(DROP) == name).collect() for name in names}
        gated = {name: apply_contract(frame, contract, source.key_columns) for name, frame in raw.items()}
        measured = {name: _measure(source, tables, name, raw[name], gated[name]) for name in names}
        described = contract_descriptions(contract)
        for table in ("validated", "quarantine"):
            frame = pl.concat([getattr(gated[name], table) for name in names])
            written = tables.replace(source.table(table), frame, {DROP: names})
            yield dg.MaterializeResult(
                asset_key=dg.AssetKey([source.name, table]),
                metadata=table_metadata(written, frame, described | QUARANTINE_COLUMNS)
                | {"rows_by_drop": {name: getattr(gated[name], table).height for name in names}},
                data_version=data_version(written),
            )
        for name in CHECKS:
            results = {drop: _check_result(source, checks[name], drop) for drop, checks in measured.items()}
            if source.drops.grain == WHOLE:
                yield results[WHOLE]
            else:
                yield from results_by_drop(context, results)

    return gate


def _measure(source: Source, lake: Lake, drop: str, raw: pl.DataFrame, gated: GateResult) -> dict[str, Measured]:
    counts = lake.scan(source.table("raw")).group_by(DROP).len().collect()
    earlier = counts.filter(pl.col(DROP) < drop)["len"].to_list()
    limits = source.row_count
    measured = [
        bad_row_share(gated, source.max_bad_share),
        conservation(raw.height, gated.validated.height, gated.quarantine.height),
        completeness(raw, source.required, source.max_missing_share),
        key_uniqueness(gated.validated, source.key_columns),
        row_count(raw.height, earlier, limits.min_ratio, limits.max_ratio),
    ]
    return {one.name: one for one in measured}


def _check_result(source: Source, measured: Measured, drop: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey([source.name, "validated"]),
        check_name=measured.name,
        passed=measured.passed,
        severity=dg.AssetCheckSeverity.ERROR if measured.name in BLOCKING else dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": measured.value,
            "threshold": _threshold(measured),
            "drop": drop,
            "evidence": dg.MetadataValue.json(measured.evidence),
        },
    )


def _threshold(measured: Measured) -> float | str:
    limit = measured.threshold
    if limit is None:
        return "none: no earlier drop"
    return f"{limit[0]:g} to {limit[1]:g}" if isinstance(limit, tuple) else limit
