"""What is measured about a drop, each with its threshold and the evidence to act on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import polars as pl

from ml_assets.quality.drop_gate import IN_PERIOD, UNIQUE_ACROSS_DROPS, DropGate
from ml_assets.quality.gate import GateResult
from ml_assets.quality.keys import shares_key
from ml_assets.quality.missing import is_missing

RECENT_DROPS = 7
"""Drops that the rows of the next are held against: a week of daily ones, and few enough that growth is no alarm."""
USUAL = 4
"""As long as so many of the last RECENT_DROPS were as usual, most of them, one that is not says nothing of the next; a
change that lasts longer is what is usual now."""
_LOOKED_BACK = 8 * RECENT_DROPS
_EXAMPLES = 5


@dataclass(frozen=True)
class CheckMeasurement:
    """One property of a drop.

    Attributes:
        name: the check.
        value: what was observed.
        threshold: the limit that the value must not pass; a pair is the lowest and highest allowed value,
            None says that there is nothing to compare with.
        passed: whether the value keeps to the threshold.
        evidence: what explains the value; plain JSON values.
    """

    name: str
    value: float
    threshold: float | tuple[float, float] | None
    passed: bool
    evidence: dict[str, Any] = field(default_factory=dict)


def bad_row_share(
    gate: GateResult, max_bad_share: float, made_null: Mapping[str, int] | None = None
) -> CheckMeasurement:
    """Check `contract`: at most this share (0 to 1) of the rows breaks a rule, but for those that are set aside, which
    may not be all.

    Args:
        made_null: values by column that became null before the contract was applied, for the evidence.
    """
    broken = [
        {
            "rule": broken.rule.name,
            "description": broken.rule.description,
            "rows": broken.rows,
            "first_row": broken.first_row,
            "example": broken.example,
            "examples": list(broken.examples),
        }
        for broken in gate.broken
    ]
    evidence = {
        "rows": gate.validated.height + gate.quarantine.height,
        "bad_rows": gate.bad_rows,
        **({"rows_set_aside": gate.set_aside} if gate.set_aside else {}),
        "broken_rules": broken,
        **({"values_made_null": dict(made_null)} if made_null else {}),
    }
    nothing_left = gate.set_aside > 0 and gate.validated.is_empty()
    return CheckMeasurement(
        "contract", gate.bad_share, max_bad_share, gate.bad_share <= max_bad_share and not nothing_left, evidence
    )


def in_period(gate: DropGate, rows: int, max_bad_share: float) -> CheckMeasurement:
    """Check `in_period`: at most this share (0 to 1) of a drop's rows lies in another drop's period."""
    share = gate.outside / rows if rows else 0.0
    return CheckMeasurement(
        IN_PERIOD, share, max_bad_share, share <= max_bad_share, {"rows": rows, "outside": gate.outside}
    )


def unique_across_drops(gate: DropGate, rows: int, max_bad_share: float) -> CheckMeasurement:
    """Check `unique_across_drops`: at most this share (0 to 1) of a drop's rows has a key of another drop."""
    share = gate.repeated / rows if rows else 0.0
    evidence = {"rows": rows, "repeated": gate.repeated, "other_drops": list(gate.held_by)}
    return CheckMeasurement(UNIQUE_ACROSS_DROPS, share, max_bad_share, share <= max_bad_share, evidence)


def conservation(raw: int, validated: int, quarantined: int) -> CheckMeasurement:
    """Check `conservation`: raw rows less validated less quarantined rows is 0."""
    lost = raw - validated - quarantined
    evidence = {"raw_rows": raw, "validated_rows": validated, "quarantined_rows": quarantined}
    return CheckMeasurement("conservation", float(lost), 0.0, lost == 0, evidence)


def completeness(frame: pl.DataFrame, required: Sequence[str], max_missing_share: float) -> CheckMeasurement:
    """Check `completeness`: no required column misses more than this share (0 to 1) of its values.

    The value is the worst column's share. NaN is missing. Measure it on raw rows: where nulls break the
    contract, the validated rows have none left to count.

    Raises:
        ValueError: a required column is not in the frame.
    """
    unknown = [name for name in required if name not in frame.columns]
    if unknown:
        raise ValueError(f"required columns {unknown} are not in the table; it has {frame.columns}")
    missing = frame.select(is_missing(name, frame.schema[name]).sum() for name in required)
    shares = {name: missing[name].item() / frame.height if frame.height else 0.0 for name in required}
    worst = max(shares, key=lambda name: shares[name], default=None)
    value = shares[worst] if worst else 0.0
    evidence = {"worst_column": worst, "missing_share": shares, "rows": frame.height}
    return CheckMeasurement("completeness", value, max_missing_share, value <= max_missing_share, evidence)


def key_uniqueness(frame: pl.DataFrame, key_columns: Sequence[str]) -> CheckMeasurement:
    """Check `unique_key`: no two rows have the same key.

    The value is the number of rows that share their key with another. Measure it on validated rows: it is
    what later tables rely on.
    """
    sharing = frame.filter(shares_key(key_columns, frame))
    examples = sharing.select(
        pl.concat_str(pl.col(key_columns).cast(pl.String), separator=", ").unique(maintain_order=True)
    )
    evidence = {"key": list(key_columns), "examples": examples.to_series().head(_EXAMPLES).to_list()}
    return CheckMeasurement("unique_key", float(sharing.height), 0.0, sharing.height == 0, evidence)


def row_count(rows: int, earlier: Sequence[int], min_ratio: float, max_ratio: float) -> CheckMeasurement:
    """Check `row_count`: the rows of a drop lie within these multiples of the median of the drops before it.

    Args:
        rows: rows of this drop as delivered.
        earlier: rows of each earlier drop whose delivery failed no blocking check, oldest first; when there is none the
            check passes and says so. Those that were usual among the last RECENT_DROPS count, so that a source that
            grows or shrinks steadily is held against what it has become, and not against deliveries that were cut off.
    """
    if not earlier:
        return CheckMeasurement("row_count", float(rows), None, True, {"note": "no earlier drop to compare with"})
    recent = usual_rows(earlier, min_ratio, max_ratio)
    low, high = _limits(recent, min_ratio, max_ratio)
    middle = median(recent)
    left_out = min(len(earlier), RECENT_DROPS) - len(recent)
    evidence = {
        "median_of_earlier_drops": middle,
        "earlier_drops": len(recent),
        "ratio": rows / middle if middle else None,
        **({"unusual_drops_left_out": left_out} if left_out else {}),
    }
    return CheckMeasurement("row_count", float(rows), (low, high), low <= rows <= high, evidence)


def usual_rows(earlier: Sequence[int], min_ratio: float, max_ratio: float) -> list[int]:
    """Return the rows of those among the last RECENT_DROPS that the next drop is held against, oldest first.

    A drop whose rows did not keep these multiples of the median of the drops before it is left out, as long as USUAL of
    those were usual themselves. Fewer do not say what is usual: at the start of a source, and after a change that
    has lasted for more than a few drops, each counts. So it is never a minority that every other drop is held against,
    such as the weekends of a shop.

    Args:
        earlier: rows of each drop, oldest first; which were usual is told from these alone.
    """
    window: list[tuple[int, bool]] = []
    for rows in earlier[-_LOOKED_BACK:]:
        recent = [count for count, usual in window if usual]
        if len(recent) < USUAL:
            usual = True
        else:
            low, high = _limits(recent, min_ratio, max_ratio)
            usual = low <= rows <= high
        window = [*window, (rows, usual)][-RECENT_DROPS:]
    return [count for count, usual in window if usual]


def _limits(recent: Sequence[int], min_ratio: float, max_ratio: float) -> tuple[float, float]:
    middle = median(recent)
    return min_ratio * middle, max_ratio * middle
