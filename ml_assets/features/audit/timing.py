"""What speaks against the moments that a table's rows are said to be known at."""

from dataclasses import dataclass
from datetime import UTC
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.features.engine.keys import compare_keys
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.sources.drops.grains import WHOLE, drop_start, is_name
from ml_assets.sources.drops.spec import Drops

_AT_THE_TIME = 0.5  # share of rows to predict with a fact of that very moment that is no coincidence


def timing_doubts(
    view: FeatureViewSpec, facts: pl.LazyFrame, spine: pl.DataFrame, time: str, early: float
) -> dict[str, list[str]]:
    """List, for each feature that is computed from the table, why it may be known later than is said.

    Args:
        spine: some rows to predict, with the view's `spine_columns` and the time column.
        early: share of rows from which later moments in a row count.
    """
    if view.known_at is None:
        return {name: [f"{view.table} has no known_at: its rows count as always known"] for name in view.lookups}
    said = [*_later_moments(view, facts, early), *_known_at_the_time(view, facts, spine, time)]
    return dict.fromkeys(stored_features(view), said) if said else {}


def _later_moments(view: FeatureViewSpec, facts: pl.LazyFrame, early: float) -> list[str]:
    schema, known_at = facts.collect_schema(), view.known_at_column
    # What is planned is known before it holds.
    own = [known_at, *(view.planned.columns if view.planned else ())]
    moments = [name for name, dtype in schema.items() if isinstance(dtype, pl.Datetime) and name not in own]
    if not moments:
        return []
    known = moment_in_utc(known_at, schema)
    later = facts.select((moment_in_utc(name, schema) > known).mean().alias(name) for name in moments)
    shares = later.collect(engine="streaming").row(0, named=True)
    return [
        f"{share:.0%} of the rows of {view.table} hold a later moment in {name} than {known_at}"
        for name, share in shares.items()
        if share is not None and share >= early
    ]


def _known_at_the_time(view: FeatureViewSpec, facts: pl.LazyFrame, spine: pl.DataFrame, time: str) -> list[str]:
    if not view.entity or view.youngest_age:
        return []
    schema = facts.collect_schema()
    keys = compare_keys(view, spine.schema, schema)
    moment = "__moment__"
    known = facts.select(*keys.of_table, moment_in_utc(view.known_at_column, schema).alias(moment))
    rows = spine.lazy().select(*keys.of_spine, moment_in_utc(time, spine.schema).alias(moment))
    met = rows.join(known, on=[*keys.names, moment], how="semi").select(pl.len()).collect(engine="streaming").item()
    share = met / max(spine.height, 1)
    if share < _AT_THE_TIME:
        return []
    return [f"{share:.0%} of the rows to predict have a fact in {view.table} that is known at their very time"]


@dataclass(frozen=True)
class EarlyRows:
    """Rows of a table that are said to be known before their drop began."""

    rows: int
    of: int
    example: str

    @property
    def share(self) -> float:
        """Their share of the rows that have a drop and a moment."""
        return self.rows / max(self.of, 1)


def known_before_drop(facts: pl.LazyFrame, known_at: str, column: str, drops: Drops) -> EarlyRows | None:
    """Count rows whose ``known_at`` lies before the beginning of the drop that delivered them.

    Args:
        column: names each row's drop.

    Returns:
        None where the table has no such drops.
    """
    schema = facts.collect_schema()
    if drops.grain == WHOLE or column not in schema or schema[column] != pl.String:
        return None
    names = facts.select(pl.col(column).unique()).collect(engine="streaming").to_series().drop_nulls()
    zone = ZoneInfo(drops.time_zone)
    starts = {
        name: drop_start(drops.grain, name).replace(tzinfo=zone).astimezone(UTC)
        for name in names
        if is_name(drops.grain, name)
    }
    if not starts:
        return None
    of_drop = pl.DataFrame(
        {column: [*starts], "__start__": [*starts.values()]},
        schema_overrides={"__start__": pl.Datetime("us", "UTC")},
    )
    known = moment_in_utc(known_at, schema)
    rows = facts.select(column, known.alias("__known__")).drop_nulls().join(of_drop.lazy(), on=column)
    is_early = pl.col("__known__") < pl.col("__start__")
    counted = rows.select(
        early=is_early.sum(),
        of=pl.len(),
        drop=pl.col(column).filter(is_early).min(),
        first=pl.col("__known__").filter(is_early).min(),
    ).collect(engine="streaming")
    early, of, drop, first = counted.row(0)
    return EarlyRows(early, of, f"{first:%Y-%m-%d %H:%M} in drop {drop}" if early else "")


def moment_in_utc(name: str, schema: pl.Schema) -> pl.Expr:
    """Return a column of moments in microseconds UTC; times without a zone are taken as UTC."""
    column = pl.col(name).dt.cast_time_unit("us")
    if getattr(schema[name], "time_zone", None) is None:
        return column.dt.replace_time_zone("UTC")
    return column.dt.convert_time_zone("UTC")
