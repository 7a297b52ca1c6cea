"""Check results of a run over several drops, one per drop: a bad drop holds back what follows it alone."""

from collections.abc import Iterator, Mapping

import dagster as dg

from ml_assets.dagster_internals import AssetCheckEvaluationTargetMaterializationData


def results_by_drop(
    context: dg.AssetExecutionContext, results: Mapping[str, dg.AssetCheckResult]
) -> Iterator[dg.Output | dg.AssetCheckEvaluation]:
    """Yield the result of one check for each drop, after the materialization: Dagster's own result is for one
    partition.

    Args:
        results: the check's result by drop; each names its asset and its check.
    """
    first = next(iter(results.values()))
    if first.asset_key is None or first.check_name is None:
        raise ValueError("a result by drop names its asset and its check")
    key = dg.AssetCheckKey(first.asset_key, first.check_name)
    blocking = context.assets_def.get_spec_for_check_key(key).blocking
    yield dg.Output(None, output_name=context.assets_def.get_output_name_for_asset_check_key(key))
    for drop, result in results.items():
        yield dg.AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=result.passed,
            metadata=result.metadata,
            target_materialization_data=_checked(context, key.asset_key, drop),
            severity=result.severity,
            blocking=blocking,
            partition=drop,
        )


def _checked(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, drop: str
) -> AssetCheckEvaluationTargetMaterializationData:
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[drop])
    (record,) = context.instance.fetch_materializations(wanted, limit=1).records
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )
