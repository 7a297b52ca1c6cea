"""What a leak gate says: which feature, how strongly, why, and what to do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

TRUST = "or list it in evaluation.leaks.trusted if it is right"


@dataclass(frozen=True)
class Finding:
    """One sign of a leak.

    Attributes:
        gate: name of the gate that saw it.
        about: the feature, column or table.
        value: what was measured.
        limit: from where on it is a sign.
        reason: what was seen, in words.
        advice: what to do.
        certain: it is a leak, whatever the numbers are.
    """

    gate: str
    about: str
    value: float
    limit: float
    reason: str
    advice: str
    certain: bool = False

    def as_row(self) -> dict[str, Any]:
        """Return the fields by name, numbers rounded to four digits."""
        return asdict(self) | {"value": round(self.value, 4), "limit": round(self.limit, 4)}


def findings_table(findings: Sequence[Finding]) -> pl.DataFrame:
    """Return findings as rows, in their order."""
    schema = {
        "gate": pl.String,
        "about": pl.String,
        "value": pl.Float64,
        "limit": pl.Float64,
        "reason": pl.String,
        "advice": pl.String,
        "certain": pl.Boolean,
    }
    return pl.DataFrame([finding.as_row() for finding in findings], schema=schema)
