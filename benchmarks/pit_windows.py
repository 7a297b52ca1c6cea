"""Point-in-time windows: the engine beside DuckDB's window functions, Polars as-of joins and brute force.

Run `python benchmarks/pit_windows.py [rows] [entities]`. All ways compute the same means over the same windows in one
process; their results are compared before times are printed. Each time is the best of three runs, brute force is
timed on a few rows and scaled up. Ratios, not seconds, are what compares across machines.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter

import duckdb
import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.features.engine import compute_features
from ml_assets.features.spec import FeatureViewSpec

WINDOWS = ["1h", "3h", "6h", "12h", "1d", "3d", "7d", "14d", "28d"]
COLUMNS = ["amount", "late"]
BRUTE_FORCE_ROWS = 100
SEED = 7
VIEW = FeatureViewSpec(
    name="benchmark",
    description="Two means over nine windows.",
    entity=["key"],
    table="events",
    known_at="known_at",
    windows=WINDOWS,
    aggregates={column: {"of": column, "functions": ["mean"]} for column in COLUMNS},
)


def make_frames(rows: int, entities: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A year of spine rows and events at five-minute steps, the events in no order."""
    rng = np.random.default_rng(SEED)
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    moment = pl.Datetime("us", "UTC")

    def times() -> pl.Series:
        return pl.Series(start + rng.integers(0, 365 * 288, rows) * 300_000_000).cast(moment)

    spine = pl.DataFrame({"key": rng.integers(0, entities, rows), "t": times()}).sort("t")
    events = pl.DataFrame(
        {
            "key": rng.integers(0, entities, rows),
            "known_at": times(),
            "amount": np.round(rng.gamma(2, 10, rows) - 15),
            "late": rng.integers(0, 2, rows),
        }
    )
    return spine, events


def engine(spine: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    return compute_features(VIEW, spine, events, time="t").select(VIEW.feature_names)


def duckdb_range(spine: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """One union of spine and events, a RANGE frame for each window; the microsecond opens the left edge."""
    spine = spine.with_row_index("row")
    means = ", ".join(
        f"avg({column}) OVER w_{window} AS {column}_mean_{window}" for column in COLUMNS for window in WINDOWS
    )
    frames = ", ".join(
        f"w_{window} AS (PARTITION BY key ORDER BY t RANGE BETWEEN INTERVAL "
        f"'{parse_duration(window) // timedelta(microseconds=1) - 1} microseconds' PRECEDING AND CURRENT ROW)"
        for window in WINDOWS
    )
    with duckdb.connect() as connection:
        connection.register("spine", spine)
        connection.register("events", events)
        query = f"""
            WITH both_sides AS (
                SELECT row, key, t, NULL::DOUBLE AS amount, NULL::BIGINT AS late FROM spine
                UNION ALL SELECT NULL, key, known_at, amount, late FROM events
            ), computed AS (SELECT row, {means} FROM both_sides WINDOW {frames})
            SELECT * EXCLUDE (row) FROM computed WHERE row IS NOT NULL ORDER BY row"""
        return connection.sql(query).pl()


def polars_asof(spine: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Cumulative sums per entity, looked up at both ends of each window by as-of joins."""
    running = events.sort("known_at").with_columns(
        pl.int_range(1, pl.len() + 1).over("key").alias("n"), *(pl.col(c).cum_sum().over("key") for c in COLUMNS)
    )
    running = running.select("key", "known_at", "n", *COLUMNS)

    def at(ago: timedelta) -> pl.DataFrame:
        keys = spine.select("key", pl.col("t") - ago)
        found = keys.join_asof(running, left_on="t", right_on="known_at", by="key", check_sortedness=False)
        return found.select(pl.col("n", *COLUMNS).fill_null(0))

    now = at(timedelta(0))
    means = {}
    for window in WINDOWS:
        before = at(parse_duration(window))
        count = now["n"] - before["n"]
        for column in COLUMNS:
            means[f"{column}_mean_{window}"] = (now[column] - before[column]) / count
    return pl.DataFrame(means).fill_nan(None).select(VIEW.feature_names)


def brute_force(spine: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """A filter over all events for every row and window."""
    rows = []
    for key, moment in spine.iter_rows():
        known = events.filter(pl.col("key") == key, pl.col("known_at") <= moment)
        inside = {w: known.filter(pl.col("known_at") > moment - parse_duration(w)) for w in WINDOWS}
        rows.append({f"{c}_mean_{w}": inside[w][c].mean() for c in COLUMNS for w in WINDOWS})
    return pl.DataFrame(rows, schema=dict.fromkeys(VIEW.feature_names, pl.Float64))


def timed(compute: Callable, *frames: pl.DataFrame, runs: int = 3) -> tuple[float, pl.DataFrame]:
    """Best time of several runs, in seconds, and the result."""
    best = float("inf")
    for _ in range(runs):
        begin = perf_counter()
        result = compute(*frames)
        best = min(best, perf_counter() - begin)
    return best, result


def check_equal(name: str, found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Raise if two results differ by more than 1e-9."""
    for column in expected.columns:
        same = found[column].eq_missing(expected[column]) | ((found[column] - expected[column]).abs() <= 1e-9)
        if not same.fill_null(False).all():
            raise AssertionError(f"{name} and the engine differ in {column}")


def main(rows: int = 327_346, entities: int = 5) -> None:
    spine, events = make_frames(rows, entities)
    seconds, expected = timed(engine, spine, events)
    print(f"{rows:,} spine rows, {rows:,} events, {entities} entities, {expected.width} features")  # noqa: T201
    print(f"{'engine':>14}: {seconds:7.2f} s  1.0")  # noqa: T201
    sample = np.random.default_rng(SEED).choice(rows, BRUTE_FORCE_ROWS, replace=False)
    ways = {
        "Polars as-of": (polars_asof, spine, expected),
        "DuckDB RANGE": (duckdb_range, spine, expected),
        "brute force": (brute_force, spine[sample], expected[sample]),
    }
    for name, (compute, wanted, engine_values) in ways.items():
        taken, found = timed(compute, wanted, events, runs=1 if compute is brute_force else 3)
        check_equal(name, found, engine_values)
        taken *= rows / wanted.height
        print(f"{name:>14}: {taken:7.2f} s  {taken / seconds:.1f}")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
