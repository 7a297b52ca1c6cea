"""A comparison as one JSON object, whose fields `docs/drift-between-files.md` describes."""

from typing import Any

from ml_assets.comparing.comparison import RuleBreach, TableComparison, TableSummary
from ml_assets.comparing.drift.column import ColumnDrift, Side
from ml_assets.comparing.drift.shape import DistributionShape

VERSION = 1
"""Grows when a field changes its meaning or goes; a field that is added leaves it as it is."""


def as_document(comparison: TableComparison, created: str) -> dict[str, Any]:
    """Return the comparison as JSON has it.

    Args:
        created: moment of the comparison, ISO 8601.
    """
    return {
        "version": VERSION,
        "created": created,
        "passed": comparison.passed,
        "verdict": comparison.verdict,
        "reference": _table(comparison.reference),
        "current": _table(comparison.current),
        "limits": dict(comparison.limits.values),
        "false_alarms": comparison.limits.false_alarms,
        "contract": {
            "holds": comparison.contract_holds,
            "rules": comparison.rules,
            "missing_columns": comparison.missing_columns,
            "new_columns": comparison.new_columns,
            "other_types": list(comparison.other_types),
            "breaches": [_breach(breach) for breach in comparison.breaches],
        },
        "drift": {
            "drifted": list(comparison.drifted),
            "columns": [_column(column) for column in comparison.drift],
            "left_out": [
                {"column": column.name, "kind": column.kind, "reason": column.reason} for column in comparison.left_out
            ],
        },
        "notes": list(comparison.notes),
    }


def _table(table: TableSummary) -> dict[str, Any]:
    return {
        "path": table.path,
        "format": table.format,
        "files": table.files,
        "rows": table.rows,
        "columns": table.columns,
        "kept_rows": table.kept_rows,
        "assumed": list(table.assumed),
    }


def _breach(breach: RuleBreach) -> dict[str, Any]:
    return {
        "column": breach.column,
        "rule": breach.rule,
        "expected": breach.words,
        "broken": breach.broken,
        "rows": breach.rows,
        "share": breach.share,
        "examples": [{"value": value, "rows": rows} for value, rows in breach.examples],
        "chance": breach.chance,
    }


def _column(column: ColumnDrift) -> dict[str, Any]:
    return {
        "column": column.name,
        "kind": column.kind,
        "drifted": column.drifted,
        "chance": column.chance,
        "methods": {
            measure.method: {"value": measure.value, "limit": measure.limit, "beyond": measure.beyond}
            for measure in column.measures
        },
        "reference": _side(column.reference),
        "current": _side(column.current),
        "distribution": _shape(column.shape),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "rows": side.rows,
        "missing": side.missing,
        "distinct": side.distinct,
        "mean": side.mean,
        "median": side.median,
        "standard_deviation": side.deviation,
    }


def _shape(shape: DistributionShape) -> dict[str, Any]:
    return {
        "edges": list(shape.edges),
        "categories": list(shape.labels),
        "reference": list(shape.reference),
        "current": list(shape.current),
    }
