"""Which drops a decision looks at: the newest estimates, and the newest realised performance whose labels have come."""

from datetime import datetime

import polars as pl

from ml_assets.monitoring.maturity import is_matured, known_share
from ml_assets.monitoring.performance.table import measured_rows, with_unpaid
from ml_assets.monitoring.spec import MonitoringSpec

LEAST_DROPS = 2
"""A drop may end with a chunk that is cut off, so the drop before is looked at in any case."""


def look_at(
    performance: pl.DataFrame, drop: str, monitoring: MonitoringSpec, as_of: datetime, of_last: int
) -> pl.DataFrame:
    """Return the estimates of the newest drops; realised rows of the newest with matured chunks, and of all since.

    Args:
        performance: the newest measures as of the moment of every drop up to the one that is decided on.
        drop: column that names the drop.
        of_last: chunks among which breaches are counted: so many drops are looked at as hold them.
    """
    if performance.is_empty():
        return performance
    least = monitoring.min_chunk_rows
    ripe = newest_drops(matured_chunks(performance, monitoring, as_of), drop, of_last, least)
    since = ripe[0] if ripe else performance[drop].min()
    estimated = pl.col(drop).is_in(newest_drops(performance, drop, of_last, least))
    return performance.filter(pl.when(pl.col("kind") == "realised").then(pl.col(drop) >= since).otherwise(estimated))


def newest_drops(report: pl.DataFrame, drop: str, of_last: int, min_rows: int) -> list[str]:
    """Return the newest drops of a report that together hold its last ``of_last`` chunks, two at least, in order.

    Args:
        min_rows: scored rows from which a chunk counts.
    """
    chunks = pl.col("chunk_start").filter(is_large(min_rows), pl.col("scope") == "chunk").n_unique()
    held = report.group_by(drop).agg(chunks=chunks).sort(drop, descending=True)
    newer = held["chunks"].cum_sum() - held["chunks"]
    needed = max(LEAST_DROPS, int((newer < of_last).sum()))
    return held[drop].head(needed).sort().to_list()


def is_large(min_rows: int) -> pl.Expr:
    """Return whether a chunk of a performance report has as many scored rows, whatever is known of their labels."""
    return pl.col("rows") + pl.col("missing").fill_null(0) >= min_rows


def matured_chunks(performance: pl.DataFrame, monitoring: MonitoringSpec, as_of: datetime) -> pl.DataFrame:
    """Return the realised rows of chunks whose labels have matured, of enough rows."""
    enough = measured_rows() >= monitoring.min_chunk_rows
    return with_unpaid(performance).filter(enough, is_matured(monitoring.labels, as_of), kind="realised", scope="chunk")


def describe_lag(realised: pl.DataFrame, monitoring: MonitoringSpec, as_of: datetime, of_last: int) -> str:
    """Return how far labels lag behind at a moment, for one metric, and which chunks count by their age alone; empty
    where every chunk has matured by its share of labels.

    Args:
        realised: realised rows of the chunks that are looked at and of all since.
        of_last: matured chunks among which breaches are counted.
    """
    large = with_unpaid(realised).filter(is_large(monitoring.min_chunk_rows), scope="chunk")
    chunks = large.sort("chunk_start").with_columns(share=known_share())
    ripe = chunks.filter(is_matured(monitoring.labels, as_of), measured_rows() >= monitoring.min_chunk_rows)
    newest = ripe["chunk_end"].max()
    waiting = chunks if ripe.is_empty() else chunks.filter(pl.col("chunk_end") > newest)
    waiting = waiting.filter(pl.col("share") < monitoring.labels.matured)
    last = ripe.tail(of_last)
    by_age = _by_age(last, monitoring, as_of)
    if waiting.is_empty():
        return f"matured until {_day(newest)}: {by_age}" if by_age else ""
    known = (
        f"{_shares(waiting['share'])} of their labels known by {_day(as_of)}, {monitoring.labels.matured:.0%} needed"
    )
    later = f"{waiting.height} chunk{'s' if waiting.height > 1 else ''} since {_day(waiting['chunk_start'].min())}"
    have = "have" if waiting.height > 1 else "has"
    if ripe.is_empty():
        return f"no chunk has matured: {later} ({known})"
    return (
        f"matured until {_day(newest)}: the last chunks from {_day(last['chunk_start'].min())} on, "
        f"{_shares(last['share'])} of their labels known{f', {by_age}' if by_age else ''}; {later} {have} not ({known})"
    )


def _by_age(chunks: pl.DataFrame, monitoring: MonitoringSpec, as_of: datetime) -> str:
    old = chunks.filter(pl.col("share") < monitoring.labels.matured)
    if old.is_empty():
        return ""
    several = old.height > 1
    return (
        f"{old.height} of these {'count by their' if several else 'counts by its'} age alone ({_shares(old['share'])}"
        f" of {'their' if several else 'its'} labels known by {_day(as_of)}, {monitoring.labels.matured:.0%} needed)"
    )


def _shares(shares: pl.Series) -> str:
    low, high = (float(share) for share in (shares.min(), shares.max()))  # pyright: ignore[reportArgumentType]
    return f"{low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"


def _day(moment: object) -> str:
    return f"{moment:%Y-%m-%d}"
