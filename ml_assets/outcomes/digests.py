"""Digests of all that the outcomes of a drop are made of, to see whether a correction reaches them."""

from datetime import datetime

import polars as pl

from ml_assets.features.digests.inputs import digest_inputs
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.engine.windows import END, KNOWN_AT, digest_view, facts_of
from ml_assets.outcomes.spec import OutcomeSpec


def digest_outcome(
    outcome: OutcomeSpec,
    spine: pl.LazyFrame,
    facts: pl.LazyFrame,
    times: OutcomeTimes,
    *,
    partition: str,
    until: datetime | None,
) -> dict[str, str]:
    """Digest, by drop, the spine's rows and the facts of their windows that were known by a moment.

    A digest begins with its scope, which changes with the declaration: see `digest_inputs`.

    Args:
        partition: the spine's column of drops.
        until: facts that became known later do not count; None: no fact does.
    """
    rows, widest = spine.with_columns(times.end(outcome)), times.reach(outcome)
    known = facts_of([outcome], facts).filter(pl.col(KNOWN_AT) <= until if until is not None else False)
    return digest_inputs(digest_view(widest), rows, known, partition=partition, time=END)
