"""Source: a declared delivery as raw, validated and quarantine tables, with the checks that guard them."""

from collections.abc import Collection, Iterator, Mapping

import dagster as dg
import polars as pl

from ml_assets.components.conditions import REFRESH_WHEN_STALE, follow_inputs
from ml_assets.components.declared import declaration_version, use_case
from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata.columns import RAW_COLUMNS
from ml_assets.components.metadata.drop_checks import results_by_drop
from ml_assets.components.metadata.tables import data_version, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, WHOLE, drops_of, partitions_of
from ml_assets.components.scaffolders.components import SourceScaffolder
from ml_assets.components.stages import SOURCE, STAGE, STATIC_SOURCE
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake, TableVersion
from ml_assets.quality.checks import (
    CheckMeasurement,
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
from ml_assets.quality.publication import (
    HISTORY,
    IN_ORDER,
    Publication,
    Withheld,
    history,
    in_order,
    not_in_use,
    publish,
    waiting,
)
from ml_assets.resources import LakeResource
from ml_assets.sources.drops.grains import names_between
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
    IN_ORDER: "No earlier drop that failed its gate is waited for.",
    HISTORY: "Every period since the first drop is in use: windows that look back miss nothing.",
}
BLOCKING = {"contract", "conservation", "unique_key", IN_PERIOD, UNIQUE_ACROSS_DROPS, IN_ORDER}
OF_DROPS = {IN_ORDER, HISTORY}
"""Checks about the drops before one, for a source that is cut into drops."""

WITHHELD = "withheld"
"""Table of a source, beside its assets: deliveries that are not in use, each with the reason."""


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
            *(OF_DROPS if self.drops.grain == WHOLE else ()),
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
        from ml_assets.quality.contracts import as_kept, contract_descriptions, contract_schema, load_contract
        from ml_assets.sources.read import read_drops

        contract = load_contract(source.contract)
        schema = contract_schema(contract)
        names = drops_of(context, source.drops)
        delivered = read_drops(source, names, schema)
        frame = as_kept(pl.concat([delivered[name].frame for name in names]))
        tables = lake.open()
        written = tables.replace(source.table("raw"), frame, {DROP: names})
        return dg.MaterializeResult(
            metadata={
                "content_hashes": {name: drop.content_hash for name, drop in delivered.items()},
                "rows_by_drop": {name: drop.frame.height for name, drop in delivered.items()},
                "extra_columns": sorted({c for drop in delivered.values() for c in drop.extra_columns}),
                **table_metadata(written, frame, contract_descriptions(contract) | RAW_COLUMNS),
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
        held, in_use = _withheld(source, tables), tables.partitions(source.table("validated"), DROP)
        # Drops that wait for one of these are judged with them: they may go on now.
        worked = sorted({*names, *waiting(held)})
        raw = {name: tables.scan(source.table("raw")).filter(pl.col(DROP) == name).collect() for name in worked}
        gates, measured = _judge(source, tables, contract, raw)
        failed = {drop: [one.name for one in _failed(checks)] for drop, checks in measured.items()}
        outcome = publish(failed, held, in_use, source.after_failure)
        released = [drop for drop in outcome.published if drop not in names]
        described = contract_descriptions(contract)
        written = _write_validated(source, tables, gates, outcome)
        rows = {name: gates[name].result for name in worked}
        told = {
            "rows_by_drop": {name: rows[name].validated.height for name in outcome.published},
            "withheld_rows": {name: rows[name].validated.height for name in worked if name in outcome.withheld},
            **table_metadata(written, rows[names[0]].validated, described | RAW_COLUMNS),
        }
        yield dg.MaterializeResult(asset_key=validated, metadata=told, data_version=data_version(written))
        for drop in released:
            yield dg.AssetMaterialization(validated, partition=drop, metadata=told)
        frame = pl.concat([rows[name].quarantine for name in worked])
        written = tables.replace(source.table("quarantine"), frame, {DROP: worked})
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey([source.name, "quarantine"]),
            metadata={
                "rows_by_drop": {name: rows[name].quarantine.height for name in worked},
                **table_metadata(written, frame, described | RAW_COLUMNS | QUARANTINE_COLUMNS),
            },
            data_version=data_version(written),
        )
        shown = {name: measured[name] for name in sorted({*names, *released})}
        if source.drops.grain != WHOLE:
            later = _completed(context.instance, validated, in_use, outcome) - set(shown)
            # Of an empty drop the table knows nothing.
            delivered = context.instance.get_materialized_partitions(dg.AssetKey([source.name, "raw"]))
            delivered |= {*tables.partitions(source.table("raw"), DROP), *worked}
            shown = _with_history(source, shown, later, delivered, outcome)
        for name in source.checks:
            results = {
                drop: _check_result(source, checks[name], drop, outcome)
                for drop, checks in shown.items()
                if name in checks
            }
            if source.drops.grain == WHOLE:
                yield results[WHOLE]
            else:
                yield from results_by_drop(context, results)
        _keep_withheld(source, tables, worked, outcome)
        broken = _broken_drops(source, tables, gates, {name: shown[name] for name in names}, outcome)
        if broken:
            raise BrokenDrop(" | ".join(broken))

    return gate


def _withheld(source: Source, lake: Lake) -> dict[str, Withheld]:
    """The deliveries that are not in use, by drop."""
    key = source.table(WITHHELD)
    if not lake.exists(key):
        return {}
    stored = lake.scan(key).select(DROP, "failed", "waits_for", "in_use").collect()
    return {
        drop: Withheld(drop, tuple(failed), tuple(waits_for), in_use)
        for drop, failed, waits_for, in_use in stored.iter_rows()
    }


def _keep_withheld(source: Source, lake: Lake, worked: list[str], outcome: Publication) -> None:
    """Store what has become of the worked drops; a source that never withheld anything has no such table."""
    kept = [one for drop, one in sorted(outcome.withheld.items()) if drop in worked]
    if not kept and not lake.exists(source.table(WITHHELD)):
        return
    texts = pl.List(pl.String)
    frame = pl.DataFrame(
        [(one.drop, list(one.failed), list(one.waits_for), one.in_use) for one in kept],
        schema={DROP: pl.String, "failed": texts, "waits_for": texts, "in_use": pl.Boolean},
        orient="row",
    )
    lake.replace(source.table(WITHHELD), frame, {DROP: worked})


def _write_validated(source: Source, lake: Lake, gates: Mapping[str, DropGate], outcome: Publication) -> TableVersion:
    """Replace the rows of drops that come into use; the rows in use of one that is withheld stay."""
    key, first = source.table("validated"), next(iter(gates.values())).result.validated
    good = [gates[drop].result.validated for drop in outcome.published]
    written = [*outcome.published, *(drop for drop in gates if not lake.exists(key) and drop in outcome.withheld)]
    if not written:
        return TableVersion(key, lake.version(key), 0)
    return lake.replace(key, pl.concat(good) if good else first.clear(), {DROP: written})


def _completed(
    instance: dg.DagsterInstance, validated: dg.AssetKey, in_use: list[str], outcome: Publication
) -> set[str]:
    """Drops in use that a drop before them, which comes into use only now, completes."""
    new = set(outcome.published) - set(in_use)
    later = {drop for drop in in_use if new and drop > min(new)}
    return later & instance.get_materialized_partitions(validated) if later else later


def _with_history(
    source: Source,
    measured: Mapping[str, Mapping[str, CheckMeasurement]],
    later: Collection[str],
    delivered: Collection[str],
    outcome: Publication,
) -> dict[str, dict[str, CheckMeasurement]]:
    """The checks of each drop with those about the drops before it; of later drops these alone."""
    periods = names_between(source.drops.grain, min(delivered), max(delivered))
    complete = {}
    for drop in sorted({*measured, *later}):
        before = history(*not_in_use(drop, periods, delivered, outcome.withheld))
        complete[drop] = {HISTORY: before}
        if drop in measured:
            complete[drop] |= {**measured[drop], IN_ORDER: in_order(outcome.withheld.get(drop))}
    return complete


def _failed(checks: Mapping[str, CheckMeasurement]) -> list[CheckMeasurement]:
    return [one for one in checks.values() if one.name in BLOCKING and not one.passed]


def _judge(
    source: Source, lake: Lake, contract: type, raw: Mapping[str, pl.DataFrame]
) -> tuple[dict[str, DropGate], dict[str, dict[str, CheckMeasurement]]]:
    """The gate and the checks of each drop, in order.

    Of two drops of a run that share a key the first keeps it, unless it fails: then what is in use of it counts.
    """
    from ml_assets.quality.drop_gate import gate_drop

    gates: dict[str, DropGate] = {}
    measured: dict[str, dict[str, CheckMeasurement]] = {}
    here: list[pl.LazyFrame] = []
    replaced = set(raw)
    delivered = dict(lake.scan(source.table("raw")).group_by(DROP).len().collect().iter_rows())
    for name, frame in raw.items():
        gates[name] = gate_drop(source, contract, name, frame, [*_keys_in_lake(source, lake, frame, replaced), *here])
        measured[name] = _measure(source, delivered, name, frame, gates[name])
        if _failed(measured[name]):
            replaced.discard(name)
        else:
            here.append(gates[name].result.validated.lazy())
    return gates, measured


def _keys_in_lake(source: Source, lake: Lake, frame: pl.DataFrame, replaced: Collection[str]) -> list[pl.LazyFrame]:
    """Keys and drops of the validated rows, but of drops whose rows this run replaces; as the frame types them."""
    if not lake.exists(source.table("validated")):
        return []
    stored = lake.scan(source.table("validated"))
    held, schema = stored.collect_schema(), frame.schema
    if not set(source.key_columns) <= set(held):  # another key was declared when they were written
        return []
    # A cast would keep the reader from skipping files, so only where the declared type has changed since.
    keys = [pl.col(n) if held[n] == schema[n] else pl.col(n).cast(schema[n]) for n in source.key_columns]
    return [stored.filter(~pl.col(DROP).is_in(sorted(replaced))).select(*keys, DROP)]


def _broken_drops(
    source: Source,
    lake: Lake,
    gates: Mapping[str, DropGate],
    measured: Mapping[str, Mapping[str, CheckMeasurement]],
    outcome: Publication,
) -> list[str]:
    """A line about each drop that a blocking check holds back; of those that only wait, where none is broken."""
    from ml_assets.quality.message import broken_drop

    failed = {drop: _failed(checks) for drop, checks in measured.items()}
    broken = {drop: those for drop, those in failed.items() if those and not outcome.withheld[drop].waits_for}
    failed = broken or failed
    hashes = _hashes(source, lake) if any(failed.values()) else {}
    return [
        broken_drop(
            source.name,
            drop,
            those,
            gates[drop].result,
            lake.uri(source.table("quarantine")),
            same_content(drop, hashes.get(drop, ""), hashes),
            outcome.withheld[drop].waits_for,
        )
        for drop, those in failed.items()
        if those
    ]


def _hashes(source: Source, lake: Lake) -> dict[str, str]:
    """Drop -> content hash of its raw rows."""
    return dict(lake.scan(source.table("raw")).select(DROP, CONTENT_HASH).unique().collect().iter_rows())


def _measure(
    source: Source, delivered: Mapping[str, int], drop: str, raw: pl.DataFrame, gate: DropGate
) -> dict[str, CheckMeasurement]:
    """Every check of a drop by itself; ``delivered`` tells how many raw rows each drop has."""
    earlier = [rows for name, rows in delivered.items() if name < drop]
    limits, gated = source.row_count, gate.result
    measured = [
        bad_row_share(gated, source.max_bad_share, gate.made_null),
        conservation(raw.height, gated.validated.height, gated.quarantine.height),
        completeness(raw, [n for n in source.required if n not in gate.absent], source.max_missing_share),
        key_uniqueness(gated.validated, source.key_columns),
        row_count(raw.height, earlier, limits.min_ratio, limits.max_ratio),
        in_period(gate, raw.height, source.max_bad_share),
        unique_across_drops(gate, raw.height, source.max_bad_share),
    ]
    return {one.name: one for one in measured if one.name in source.checks}


def _check_result(source: Source, measured: CheckMeasurement, drop: str, outcome: Publication) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey([source.name, "validated"]),
        check_name=measured.name,
        passed=measured.passed,
        severity=dg.AssetCheckSeverity.ERROR if measured.name in BLOCKING else dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": measured.value,
            "threshold": _threshold(measured),
            "drop": drop,
            "in_use": _in_use(outcome.withheld.get(drop)),
            "evidence": dg.MetadataValue.json(measured.evidence),
        },
    )


def _in_use(withheld: Withheld | None) -> str:
    if withheld is None:
        return "this delivery"
    kept = "the delivery before" if withheld.in_use else "nothing of the drop"
    return f"{kept}: this delivery is withheld, its rows stay in the raw table"


def _threshold(measured: CheckMeasurement) -> float | str:
    limit = measured.threshold
    if limit is None:
        return "none: no earlier drop"
    return f"{limit[0]:g} to {limit[1]:g}" if isinstance(limit, tuple) else limit
