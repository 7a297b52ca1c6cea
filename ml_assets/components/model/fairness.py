"""What checks and metadata say of the groups between which fairness is watched."""

from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl

from ml_assets.components.metadata.tables import Metadata, markdown
from ml_assets.fairness.limits import FairnessJudgement


def groups_metadata(measured: pl.DataFrame) -> Metadata:
    """Return what was measured of groups as a table; nothing where no groups are declared."""
    if measured.is_empty():
        return {}
    shown = measured.select("attribute", "group", "class", "measure", "value", "low", "high", "rows", "known")
    return {"groups": markdown(shown)}


def fair_check(
    name: str, judgements: Sequence[FairnessJudgement], key: dg.AssetKey | None = None
) -> dg.AssetCheckResult:
    """Return whether every limit is kept; what is not known breaks none, and is named."""
    worst = judgements[0] if judgements else None
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=all(each.passed for each in judgements),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": "unknown" if worst is None or worst.value is None else worst.value,
            "threshold": "none" if worst is None else worst.threshold,
            "judgements": [each.text for each in judgements],
        },
    )


def fair_drops_check(name: str, by_drop: Mapping[str, Sequence[FairnessJudgement]]) -> dg.AssetCheckResult:
    """Return whether every limit is kept in each of some drops."""
    every = [(drop, each) for drop, judgements in sorted(by_drop.items()) for each in judgements]
    return dg.AssetCheckResult(
        check_name=name,
        passed=all(each.passed for _, each in every),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": [f"{drop}: {each.text}" for drop, each in every if not each.passed] or "all limits are kept",
            "judgements": [f"{drop}: {each.text}" for drop, each in every],
        },
    )
