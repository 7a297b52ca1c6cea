"""Check results of a run over several drops, one per drop: a bad drop holds back what follows it alone."""

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from ml_assets.dagster_internals import AssetCheckEvaluationTargetMaterializationData


def results_by_drop(
    context: dg.AssetExecutionContext, *checks: Mapping[str, dg.AssetCheckResult]
) -> Iterator[dg.Output | dg.AssetCheckEvaluation]:
    """Yield the results of checks of one asset for each drop, after the materialization: Dagster's own result is for
    one partition.

    Args:
        checks: the results of each by drop; each names its asset and its check.
    """
    asset = next((result.asset_key for results in checks for result in results.values()), None)
    if asset is None:
        raise ValueError("a result by drop names its asset and its check")
    checked = _materializations(context.instance, asset, {drop for results in checks for drop in results})
    for results in checks:
        yield from _of_check(context, asset, results, checked)


def _of_check(
    context: dg.AssetExecutionContext,
    asset: dg.AssetKey,
    results: Mapping[str, dg.AssetCheckResult],
    checked: Mapping[str, AssetCheckEvaluationTargetMaterializationData],
) -> Iterator[dg.Output | dg.AssetCheckEvaluation]:
    (name,) = {result.check_name for result in results.values()}
    if name is None:
        raise ValueError("a result by drop names its asset and its check")
    key = dg.AssetCheckKey(asset, name)
    blocking = context.assets_def.get_spec_for_check_key(key).blocking
    yield dg.Output(None, output_name=context.assets_def.get_output_name_for_asset_check_key(key))
    for drop, result in results.items():
        yield dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name=name,
            passed=result.passed,
            metadata=result.metadata,
            target_materialization_data=checked[drop],
            severity=result.severity,
            blocking=blocking,
            partition=drop,
        )


def _materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, drops: Iterable[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """Return the newest materialization of each drop; raises LookupError if one has none."""
    newest: dict[str, AssetCheckEvaluationTargetMaterializationData] = {}
    while missing := sorted(set(drops) - set(newest)):
        # The newest come first; of a drop that was materialized often they may be all that is returned.
        wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=missing)
        records = instance.fetch_materializations(wanted, limit=len(missing)).records
        if not records:
            raise LookupError(f"{asset.to_user_string()} has no materialization of {', '.join(missing)} to check")
        for record in records:
            about = AssetCheckEvaluationTargetMaterializationData(
                storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
            )
            newest.setdefault(str(record.partition_key), about)
    return newest
