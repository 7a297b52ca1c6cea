"""Outcomes as they are kept: one row for each entity and moment of a drop, and how a spine's rows get their labels."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.stored import DECLARATION
from ml_assets.outcomes.engine.compute import OutcomePart
from ml_assets.outcomes.spec import OutcomeSpec

COMPLETE_UNTIL = "_complete_until"
"""Column of stored outcomes: the moment up to which the facts were complete that the row was computed from."""


def outcome_declaration(outcome: OutcomeSpec) -> str:
    """Digest a declaration: the same text exactly if two outcomes mean the same."""
    return hashlib.sha256(outcome.meaning.encode()).hexdigest()[:8]


def stored_outcomes(
    outcome: OutcomeSpec, part: OutcomePart, by: Sequence[str], complete_until: datetime | None
) -> pl.DataFrame:
    """Select the rows to keep of what was computed: one for each value of the columns `by`, the first of the spine."""
    keys = part.rows.select(by)
    first = pl.Series(keys.select(pl.struct(pl.all()).is_first_distinct()))
    return (
        keys.hstack(part.outcomes)
        .filter(first)
        .with_columns(
            pl.lit(outcome_declaration(outcome)).alias(DECLARATION),
            pl.lit(complete_until, MOMENT).alias(COMPLETE_UNTIL),
        )
    )


def with_labels(
    outcome: OutcomeSpec, rows: pl.LazyFrame, stored: pl.LazyFrame | None, by: Sequence[str]
) -> pl.LazyFrame:
    """Add the label and the moment at which it is known to rows of the spine, in their order.

    Args:
        rows: with the columns `by`.
        stored: the stored outcomes; None where there are none. What another declaration stored is not read.
        by: the columns by which an outcome is found again.

    Returns:
        The rows with the outcome's name and `known_at_column`: null where nothing is stored of a row.
    """
    added = [outcome.name, outcome.known_at_column]
    rows = rows.drop(added, strict=False)
    if stored is None or not {*by, *added, DECLARATION} <= {*stored.collect_schema().names()}:
        return rows.with_columns(pl.lit(None).alias(added[0]), pl.lit(None, MOMENT).alias(added[1]))
    own = stored.filter(pl.col(DECLARATION) == outcome_declaration(outcome)).select(*by, *added)
    return rows.join(own, on=list(by), how="left", nulls_equal=True, maintain_order="left", validate="m:1")
