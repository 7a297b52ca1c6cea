"""Source: a declared delivery as raw, validated and quarantine tables, with the checks that guard them."""

from collections.abc import Iterator, Mapping

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
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake
from ml_assets.quality.checks import (
    Measured,
    bad_row_share,
    completeness,
    conservation,
    in_period,
    key_uniqueness,
    row_count,
    unique_across_drops,
)
from ml_assets.quality.drop_gate import (
    IN_PERIOD,
    UNIQUE_ACROSS_DROPS,
    DropGate,
    has_keys_across_drops,
    is_placed_by_file,
    same_content,
)
from ml_assets.quality.gate import QUARANTINE_COLUMNS
from ml_assets.resources import LakeResource
from ml_assets.sources.spec import CONTENT_HASH, DROP

OUTSIDE_DROPS = "outside_drops"
OUTSIDE_TEXT = "No more rows than declared lie before the first drop, after the last one, or in no drop at all."
PLACEMENT = "placement"
"""Table of a source, beside its assets: rows that are in no ingested drop, by the reason."""

CHECKS = {
    "contract": "The share of rows that break the contract stays under the declared limit.",
    "conservation": "Every raw row is either validated or in quarantine.",
    "completeness": "No required column misses more values than declared.",
    "unique_key": "No key occurs twice in the validated rows.",
    IN_PERIOD: "The rows lie in the period that their file is named for.",
    UNIQUE_ACROSS_DROPS: "No row has a key that another drop's validated rows have.",
    "row_count": "The drop is about as large as the drops before it.",
}
BLOCKING = {"contract", "conservation", "unique_key", IN_PERIOD, UNIQUE_ACROSS_DROPS}


@dg.scaffold_with(SourceScaffolder)
class Source(DeclaredSource, dg.Component, dg.Resolvable):
    """Where a table comes from, how it is cut into drops, and what it must satisfy."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        group = use_case(context)
        return dg.Definitions(assets=[_raw_asset(self, group), _gate_asset(self, group)])

    @property
    def checks(self) -> dict[str, str]:
        """The checks of the gate, each with its description."""
        without = {
            *(() if is_placed_by_file(self) else (IN_PERIOD,)),
            *(() if has_keys_across_drops(self) else (UNIQUE_ACROSS_DROPS,)),
        }
        return {name: text for name, text in CHECKS.items() if name not in without}

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
        check_specs=[
            dg.AssetCheckSpec(OUTSIDE_DROPS, asset=dg.AssetKey([source.name, "raw"]), description=OUTSIDE_TEXT)
        ]
        if source.drops.grain != WHOLE
        else [],
        backfill_policy=SINGLE_RUN,
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        from ml_assets.quality.contracts import as_kept, contract_schema, load_contract
        from ml_assets.sources.read import read_drops

        schema = contract_schema(load_contract(source.contract))
        names = drops_of(context, source.drops)
        delivered = read_drops(source, names, schema)
        frame = as_kept(pl.concat([delivered[name].frame for name in names]))
        tables = lake.open()
        written = tables.replace(source.table("raw"), frame, {DROP: names})
        return dg.MaterializeResult(
            metadata={
                **table_metadata(written, frame),
                "content_hashes": {name: drop.content_hash for name, drop in delivered.items()},
                "rows_by_drop": {name: drop.frame.height for name, drop in delivered.items()},
                "extra_columns": sorted({c for drop in delivered.values() for c in drop.extra_columns}),
            },
            data_version=data_version(written),
            check_results=[_place_rows(source, tables, schema)] if source.drops.grain != WHOLE else [],
        )

    return raw


def _place_rows(source: Source, lake: Lake, schema: Mapping[str, pl.DataType]) -> dg.AssetCheckResult:
    """Count, store and judge the rows of the source that are in no ingested drop."""
    from ml_assets.sources.placement import place_rows, placement_table

    placed = place_rows(source, schema, lake.partitions(source.table("raw"), DROP))
    lake.replace(source.table(PLACEMENT), placement_table(placed))
    ingested = lake.rows_by(source.table("raw"), DROP)
    rows = placed.outside + placed.waiting + sum(ingested.values())
    share = placed.outside / rows if rows else 0.0
    return dg.AssetCheckResult(
        check_name=OUTSIDE_DROPS,
        passed=share <= source.max_outside_share,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": share,
            "threshold": source.max_outside_share,
            "rows_outside": placed.places,
            "rows_not_ingested": placed.waiting,
            "files_of_no_drop": list(placed.files),
        },
    )


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
            for name, text in source.checks.items()
        ],
        backfill_policy=SINGLE_RUN,
    )
    def gate(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator:
        from ml_assets.quality.contracts import contract_descriptions, load_contract
        from ml_assets.quality.message import BrokenDrop

        tables = lake.open()
        names = drops_of(context, source.drops)
        contract = load_contract(source.contract)
        raw = {name: tables.scan(source.table("raw")).filter(pl.col(DROP) == name).collect() for name in names}
        gates = _gate_drops(source, tables, contract, raw)
        gated = {name: gate.result for name, gate in gates.items()}
        measured = {name: _measure(source, tables, name, raw[name], gates[name]) for name in names}
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
        for name in source.checks:
            results = {drop: _check_result(source, checks[name], drop) for drop, checks in measured.items()}
            if source.drops.grain == WHOLE:
                yield results[WHOLE]
            else:
                yield from results_by_drop(context, results)
        broken = _broken_drops(source, tables, gates, measured)
        if broken:
            raise BrokenDrop(" | ".join(broken))

    return gate


def _gate_drops(source: Source, lake: Lake, contract: type, raw: Mapping[str, pl.DataFrame]) -> dict[str, DropGate]:
    """The gate of each drop, in order: of two drops of a run that share a key the first keeps it."""
    from ml_assets.quality.drop_gate import gate_drop

    gates: dict[str, DropGate] = {}
    stored = _keys_in_lake(source, lake, raw)
    for name, frame in raw.items():
        here = [gate.result.validated.lazy() for gate in gates.values()]
        gates[name] = gate_drop(source, contract, name, frame, [*stored, *here])
    return gates


def _keys_in_lake(source: Source, lake: Lake, raw: Mapping[str, pl.DataFrame]) -> list[pl.LazyFrame]:
    """Keys and drops of the validated rows of all drops but those of this run."""
    if not lake.exists(source.table("validated")):
        return []
    stored = lake.scan(source.table("validated"))
    held, schema = stored.collect_schema(), next(iter(raw.values())).schema
    if not set(source.key_columns) <= set(held):  # another key was declared when they were written
        return []
    # A cast would keep the reader from skipping files, so only where the declared type has changed since.
    keys = [pl.col(n) if held[n] == schema[n] else pl.col(n).cast(schema[n]) for n in source.key_columns]
    return [stored.filter(~pl.col(DROP).is_in(list(raw))).select(*keys, DROP)]


def _broken_drops(
    source: Source,
    lake: Lake,
    gates: Mapping[str, DropGate],
    measured: Mapping[str, Mapping[str, Measured]],
) -> list[str]:
    """A line about each drop that a blocking check holds back."""
    from ml_assets.quality.message import broken_drop

    failed = {
        drop: [one for one in checks.values() if one.name in BLOCKING and not one.passed]
        for drop, checks in measured.items()
    }
    hashes = _hashes(source, lake) if any(failed.values()) else {}
    return [
        broken_drop(
            source.name,
            drop,
            those,
            gates[drop].result,
            lake.uri(source.table("quarantine")),
            same_content(drop, hashes.get(drop, ""), hashes),
        )
        for drop, those in failed.items()
        if those
    ]


def _hashes(source: Source, lake: Lake) -> dict[str, str]:
    """Drop -> content hash of its raw rows."""
    return dict(lake.scan(source.table("raw")).select(DROP, CONTENT_HASH).unique().collect().iter_rows())


def _measure(source: Source, lake: Lake, drop: str, raw: pl.DataFrame, gate: DropGate) -> dict[str, Measured]:
    counts = lake.scan(source.table("raw")).group_by(DROP).len().collect()
    earlier = counts.filter(pl.col(DROP) < drop)["len"].to_list()
    limits, gated = source.row_count, gate.result
    measured = [
        bad_row_share(gated, source.max_bad_share, gate.made_null),
        conservation(raw.height, gated.validated.height, gated.quarantine.height),
        completeness(raw, source.required, source.max_missing_share),
        key_uniqueness(gated.validated, source.key_columns),
        row_count(raw.height, earlier, limits.min_ratio, limits.max_ratio),
        in_period(gate, raw.height, source.max_bad_share),
        unique_across_drops(gate, raw.height, source.max_bad_share),
    ]
    return {one.name: one for one in measured if one.name in source.checks}


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
