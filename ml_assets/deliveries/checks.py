"""The checks that a delivery passes before its rows come into use."""

from collections.abc import Iterable, Mapping

import polars as pl

from ml_assets.declarations.specs import DeclaredSource
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
)
from ml_assets.quality.publication import HISTORY, IN_ORDER
from ml_assets.sources.drops.grains import WHOLE

Measurements = Mapping[str, CheckMeasurement]
"""Name of a check -> what it measured."""

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


def checks_of(source: DeclaredSource) -> dict[str, str]:
    """Return the checks of a source's gate, each with its description."""
    without = {
        *(() if is_placed_by_file(source) else (IN_PERIOD,)),
        *(() if has_keys_across_drops(source) else (UNIQUE_ACROSS_DROPS,)),
        *(OF_DROPS if source.drops.grain == WHOLE else ()),
    }
    return {name: text for name, text in CHECKS.items() if name not in without}


def failed_checks(measurements: Iterable[CheckMeasurement]) -> list[CheckMeasurement]:
    """Return the checks that hold a delivery back."""
    return [measured for measured in measurements if measured.name in BLOCKING and not measured.passed]


def measure_drop_checks(
    source: DeclaredSource, delivered: Mapping[str, int], drop: str, raw: pl.DataFrame, gate: DropGate
) -> dict[str, CheckMeasurement]:
    """Measure every check of a drop by itself.

    Args:
        delivered: raw rows of each drop whose delivery failed no blocking check; of later drops it does not matter.
    """
    earlier = [rows for name, rows in sorted(delivered.items()) if name < drop]
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
    checks = checks_of(source)
    return {check.name: check for check in measured if check.name in checks}
