"""validated and quarantine: a source's rows through its gate."""

from collections.abc import Iterator, Mapping

import dagster as dg

from ml_assets.components.metadata.columns import RAW_COLUMNS
from ml_assets.components.metadata.drop_checks import results_by_drop
from ml_assets.components.metadata.tables import data_version, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.components.sources.asset_specs import source_asset_key, source_asset_spec
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.deliveries.checks import BLOCKING, Measurements, checks_of
from ml_assets.deliveries.gate import (
    JudgedDeliveries,
    broken_drops,
    completed_by,
    judge_deliveries,
    with_history,
    write_validated,
)
from ml_assets.deliveries.withheld import keep_withheld
from ml_assets.lake import Lake, TableVersion
from ml_assets.quality.checks import CheckMeasurement
from ml_assets.quality.gate import QUARANTINE_COLUMNS
from ml_assets.quality.publication import Withheld
from ml_assets.resources import LakeResource
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.spec import DROP

Described = Mapping[str, str]
"""Column -> what it means."""


def gate_asset(source: DeclaredSource, group: str) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{source.name}__gate",
        specs=[
            source_asset_spec(source, "validated", group, "The rows that satisfy the contract.", ("raw",)),
            source_asset_spec(
                source, "quarantine", group, "The rows that break the contract, each with the rules it broke.", ("raw",)
            ),
        ],
        check_specs=_check_specs(source),
        backfill_policy=SINGLE_RUN,
    )
    def gate(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator:
        from ml_assets.quality.contracts import contract_descriptions, load_contract
        from ml_assets.quality.message import BrokenDrop

        tables, contract = lake.open(), load_contract(source.contract)
        judged = judge_deliveries(source, tables, contract, drops_of(context, source.drops))
        described = contract_descriptions(contract) | RAW_COLUMNS
        yield from _validated(source, judged, write_validated(source, tables, judged), described)
        yield _quarantine(source, tables, judged, described)
        shown = _shown_checks(context.instance, source, tables, judged)
        yield from _check_results(context, source, judged, shown)
        keep_withheld(source, tables, list(judged.gates), judged.outcome)
        broken = broken_drops(source, tables, judged, {drop: shown[drop] for drop in judged.drops})
        if broken:
            raise BrokenDrop(" | ".join(broken))

    return gate


def _check_specs(source: DeclaredSource) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            name,
            asset=source_asset_key(source, "validated"),
            description=text,
            blocking=name in BLOCKING,
            partitions_def=partitions_of(source.drops),
        )
        for name, text in checks_of(source).items()
    ]


def _validated(
    source: DeclaredSource, judged: JudgedDeliveries, written: TableVersion, described: Described
) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:
    """Yield the materialization of the drops of the run, and of those that come into use with them."""
    rows = {drop: gate.result.validated for drop, gate in judged.gates.items()}
    metadata = {
        "rows_by_drop": {drop: rows[drop].height for drop in judged.outcome.published},
        "withheld_rows": {drop: rows[drop].height for drop in judged.gates if drop in judged.outcome.withheld},
        **table_metadata(written, rows[judged.drops[0]], described),
    }
    key = source_asset_key(source, "validated")
    yield dg.MaterializeResult(asset_key=key, metadata=metadata, data_version=data_version(written))
    for drop in judged.released:
        yield dg.AssetMaterialization(key, partition=drop, metadata=metadata)


def _quarantine(
    source: DeclaredSource, lake: Lake, judged: JudgedDeliveries, described: Described
) -> dg.MaterializeResult:
    frame = judged.quarantine
    written = lake.replace(source.table("quarantine"), frame, {DROP: list(judged.gates)})
    return dg.MaterializeResult(
        asset_key=source_asset_key(source, "quarantine"),
        metadata={
            "rows_by_drop": {drop: gate.result.quarantine.height for drop, gate in judged.gates.items()},
            **table_metadata(written, frame, {**described, **QUARANTINE_COLUMNS}),
        },
        data_version=data_version(written),
    )


def _shown_checks(
    instance: dg.DagsterInstance, source: DeclaredSource, lake: Lake, judged: JudgedDeliveries
) -> Mapping[str, Measurements]:
    """Return the checks of each drop of the run, and of drops that it has released or completed."""
    shown = {drop: judged.measured[drop] for drop in sorted({*judged.drops, *judged.released})}
    if source.drops.grain == WHOLE:
        return shown
    later = completed_by(judged)
    if later:
        later = (later & instance.get_materialized_partitions(source_asset_key(source, "validated"))) - set(shown)
    # Of an empty drop the table knows nothing.
    delivered = instance.get_materialized_partitions(source_asset_key(source, "raw"))
    delivered |= {*lake.partitions(source.table("raw"), DROP), *judged.gates}
    return with_history(source, shown, later, delivered, judged.outcome)


def _check_results(
    context: dg.AssetExecutionContext,
    source: DeclaredSource,
    judged: JudgedDeliveries,
    shown: Mapping[str, Measurements],
) -> Iterator:
    results = [
        {
            drop: _check_result(source, checks[name], drop, judged.outcome.withheld.get(drop))
            for drop, checks in shown.items()
            if name in checks
        }
        for name in checks_of(source)
    ]
    if source.drops.grain == WHOLE:
        yield from (of_check[WHOLE] for of_check in results)
    else:
        yield from results_by_drop(context, *results)


def _check_result(
    source: DeclaredSource, measured: CheckMeasurement, drop: str, withheld: Withheld | None
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=source_asset_key(source, "validated"),
        check_name=measured.name,
        passed=measured.passed,
        severity=dg.AssetCheckSeverity.ERROR if measured.name in BLOCKING else dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": measured.value,
            "threshold": _threshold(measured),
            "drop": drop,
            "in_use": _in_use(withheld),
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
