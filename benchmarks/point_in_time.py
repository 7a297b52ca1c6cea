"""The feature engine beside DuckDB, Polars and Feast: rows per second, peak memory, and how both grow with the rows.

Run `python benchmarks/point_in_time.py [--scales 1 10 100] [--facts-per-row 1] [--tasks latest windows outcomes]
[--ways engine duckdb polars feast] [--runs 1] [--json] [--peers-python PYTHON]`. At scale 1 the spine has as many rows
as there are flights in 2013, and so have the facts, of 4,000 entities with text keys; scale 100 has a hundred times the
rows and the entities, and takes 6 GB of disk under TMPDIR and some minutes. Three tasks:

- `latest`: two columns of the entity's last known row, however old; in DuckDB a hand-written ASOF join, in Polars
  `join_asof`, in Feast `get_historical_features` on its DuckDB store;
- `windows`: mean and count over three windows; in DuckDB RANGE frames, in Polars running sums and as-of joins;
- `outcomes`: the same over three windows after the row, each an outcome of its own; in DuckDB RANGE frames that follow.

Every way runs in a process of its own that reads spine and facts from Parquet files and writes Parquet. Its clock
starts after the imports. Feast runs where `--peers-python` names a Python that has it. What is too slow or too large
at a scale is left out there (LARGEST). All results are compared, every row of them and exactly, before a time is told;
exit code 1 says that two ways differ or that one failed. Ratios, not seconds, are what compares across machines.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

# Nothing large is imported by the process that starts the others: Linux counts its memory in their peak.

ROWS, ENTITIES = 336_776, 4_000
"""At scale 1: of the spine and of the facts; and of entities."""
SEED = 7
MONTHS = 12
DAY = 86_400_000_000
WINDOWS = {"1d": DAY, "7d": 7 * DAY, "28d": 28 * DAY}
"""Window -> microseconds."""
RESULTS = {
    "latest": ["amount", "grade"],
    "windows": [f"amount_{function}_{window}" for function in ("mean", "count") for window in WINDOWS],
    "outcomes": ["length", "amount_mean", "amount_count"],
}
"""Task -> its columns; `outcomes` has a row for each window."""
WAYS = {
    "latest": ["engine", "duckdb", "polars", "feast"],
    "windows": ["engine", "duckdb", "polars"],
    "outcomes": ["engine", "duckdb"],
}
LARGEST = {("latest", "feast"): 1, ("windows", "duckdb"): 10, ("windows", "polars"): 10, ("outcomes", "duckdb"): 10}
"""The largest scale that a way is asked for: beyond, it takes far more than minutes or than 16 GiB."""
BASE = "duckdb"
"""What ratios are taken to."""
COSTS = ["seconds", "cpu_seconds", "peak_mib"]


@dataclass(frozen=True)
class Measured:
    """One way at one scale: the seconds of its fastest run, the peak of its largest."""

    task: str
    scale: int
    way: str
    seconds: float
    cpu_seconds: float
    rows_per_second: float
    peak_mib: float
    digest: list[int]


def make_tables(folder: Path, scale: int, facts_per_row: int) -> None:
    """A year of spine rows in order of time, and of facts in no order within a month.

    No entity has two facts at one moment: DuckDB and Polars would take any of them.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(SEED)
    names = np.array([f"N{number:07d}" for number in range(ENTITIES * scale)])
    start, month = 1_704_067_200_000_000, 365 * DAY // MONTHS
    moment = pa.timestamp("us", tz="UTC")
    writers: dict[str, pq.ParquetWriter] = {}
    for number in range(MONTHS):
        rows = (number + 1) * ROWS * scale // MONTHS - number * ROWS * scale // MONTHS
        first = start + number * month
        spine = {
            "key": pa.array(names[random.integers(0, names.size, rows)]),
            "t": pa.array(np.sort(first + random.integers(0, month, rows)), moment),
        }
        facts = {
            "key": pa.array(names[random.integers(0, names.size, rows * facts_per_row)]),
            "known_at": pa.array(first + random.integers(0, month, rows * facts_per_row), moment),
            "amount": pa.array(np.round(random.gamma(2, 10, rows * facts_per_row) - 15)),
            "grade": pa.array(random.integers(0, 100, rows * facts_per_row)),
        }
        for name, columns in (("spine", spine), ("facts", facts)):
            table = pa.table(columns)
            if name not in writers:
                writers[name] = pq.ParquetWriter(folder / f"{name}.parquet", table.schema)
            writers[name].write_table(table, row_group_size=250_000)
    for writer in writers.values():
        writer.close()


def engine(folder: Path, task: str, out: Path) -> None:
    if task == "outcomes":
        _outcomes(folder, out)
    else:
        _features(folder, task, out)


def _outcomes(folder: Path, out: Path) -> None:
    """Each window as an outcome of its own, computed together."""
    import datetime

    import polars as pl

    from ml_assets.outcomes.engine.compute import compute_outcomes_in_parts
    from ml_assets.outcomes.engine.times import OutcomeTimes
    from ml_assets.outcomes.spec import OutcomeSpec

    spine, facts = pl.scan_parquet(folder / "spine.parquet"), pl.scan_parquet(folder / "facts.parquet")
    never = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
    outcomes = [
        OutcomeSpec(
            name=f"within_{window}", description="A benchmark.", entity=["key"], table="facts", happened_at="known_at",
            window=window, aggregate={"of": "amount", "functions": ["mean", "count"]}, label="count == 0",
        )
        for window in WINDOWS
    ]  # fmt: skip
    lengths = dict(zip((outcome.name for outcome in outcomes), WINDOWS.values(), strict=True))
    parts = compute_outcomes_in_parts(outcomes, spine, facts, OutcomeTimes("t"), never)
    for number, part in enumerate(parts):
        length = pl.lit(lengths[part.name], pl.Int64)
        found = part.rows.select("key", "t").hstack(
            part.outcomes.select(amount_mean="mean", amount_count="count", length=length)
        )
        found.write_parquet(out / f"{number}.parquet", compression="snappy")


def _features(folder: Path, task: str, out: Path) -> None:
    import polars as pl

    from ml_assets.features.engine.parts import compute_features_in_parts
    from ml_assets.features.spec import FeatureViewSpec

    features = {
        "latest": {"latest": {name: name for name in RESULTS["latest"]}},
        "windows": {
            "windows": list(WINDOWS),
            "aggregates": {"amount": {"of": "amount", "functions": ["mean", "count"]}},
        },
    }
    view = FeatureViewSpec(
        name="measured", description="A benchmark.", entity=["key"], table="facts", known_at="known_at",
        **features[task],
    )  # fmt: skip
    spine, facts = pl.scan_parquet(folder / "spine.parquet"), pl.scan_parquet(folder / "facts.parquet")
    for number, part in enumerate(compute_features_in_parts(view, spine, facts, time="t")):
        part.features.write_parquet(out / f"{number}.parquet", compression="snappy")


def duckdb(folder: Path, task: str, out: Path) -> None:
    import duckdb as database

    spine, facts = f"'{folder}/spine.parquet'", f"'{folder}/facts.parquet'"
    if task == "latest":
        query = f"""SELECT s.key, s.t, f.amount, f.grade
            FROM {spine} s ASOF LEFT JOIN {facts} f ON s.key = f.key AND s.t >= f.known_at"""
    else:
        # Spine and facts in one union, a RANGE frame for each window; the microsecond opens its left edge.
        between = {
            "windows": "INTERVAL '{inside} microseconds' PRECEDING AND CURRENT ROW",
            "outcomes": "INTERVAL '1 microseconds' FOLLOWING AND INTERVAL '{length} microseconds' FOLLOWING",
        }[task]
        functions = {"mean": "avg", "count": "count"}
        columns = ", ".join(
            f"{functions[function]}(amount) OVER w_{window} AS amount_{function}_{window}"
            for function in functions
            for window in WINDOWS
        )
        frames = ", ".join(
            f"w_{window} AS (PARTITION BY key ORDER BY t RANGE BETWEEN "
            f"{between.format(inside=length - 1, length=length)})"
            for window, length in WINDOWS.items()
        )
        wanted = "SELECT * EXCLUDE (asked) FROM computed WHERE asked"
        if task == "outcomes":
            wanted = " UNION ALL ".join(
                f"SELECT key, t, {length} AS length, amount_mean_{window} AS amount_mean, amount_count_{window} "
                "AS amount_count FROM computed WHERE asked"
                for window, length in WINDOWS.items()
            )
        query = f"""WITH both_sides AS (
                SELECT true AS asked, key, t, NULL::DOUBLE AS amount FROM {spine}
                UNION ALL SELECT false, key, known_at, amount FROM {facts}
            ), computed AS (SELECT asked, key, t, {columns} FROM both_sides WINDOW {frames})
            {wanted}"""
    with database.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        connection.execute(f"SET temp_directory = '{out}/spill'")
        connection.execute(f"COPY ({query}) TO '{out}/0.parquet' (FORMAT parquet, COMPRESSION snappy)")


def polars(folder: Path, task: str, out: Path) -> None:
    import polars as pl

    spine = pl.scan_parquet(folder / "spine.parquet").sort("t")
    facts = pl.scan_parquet(folder / "facts.parquet").sort("known_at")
    found = _last_rows(spine, facts) if task == "latest" else _running_sums(spine, facts)
    found.sink_parquet(out / "0.parquet", compression="snappy")


def _last_rows(spine, facts):
    return spine.join_asof(facts, left_on="t", right_on="known_at", by="key", check_sortedness=False).select(
        "key", "t", *RESULTS["latest"]
    )


def _running_sums(spine, facts):
    """Running sums per entity, looked up at both ends of each window."""
    import polars as pl

    rows, so_far = spine.collect(), [pl.int_range(1, pl.len() + 1).alias("n"), pl.col("amount").cum_sum()]
    running = facts.select("key", "known_at", *(sums.over("key") for sums in so_far)).collect()

    def at(ago: int) -> pl.DataFrame:
        ends = rows.select("key", pl.col("t") - pl.duration(microseconds=ago))
        found = ends.join_asof(running, left_on="t", right_on="known_at", by="key", check_sortedness=False)
        return found.select(pl.col("n", "amount").fill_null(0))

    now, features = at(0), {}
    for window, length in WINDOWS.items():
        before = at(length)
        features[f"amount_count_{window}"] = count = now["n"] - before["n"]
        features[f"amount_mean_{window}"] = ((now["amount"] - before["amount"]) / count).fill_nan(None)
    return rows.lazy().with_columns(**features).select("key", "t", *RESULTS["windows"])


def feast(folder: Path, task: str, out: Path) -> None:
    import pandas as pd
    import pyarrow.parquet as pq
    from feast import Entity, FeatureStore, FeatureView, FileSource, RepoConfig, ValueType
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig

    store = FeatureStore(
        config=RepoConfig(
            project="measured", provider="local", registry=str(out / "registry.db"), online_store=None,
            offline_store=DuckDBOfflineStoreConfig(), entity_key_serialization_version=3,
        )
    )  # fmt: skip
    entity = Entity(name="key", join_keys=["key"], value_type=ValueType.STRING)
    source = FileSource(path=str(folder / "facts.parquet"), timestamp_field="known_at")
    view = FeatureView(name="view", entities=[entity], source=source, online=False)
    store.apply([entity, view])
    rows = pd.read_parquet(folder / "spine.parquet").rename(columns={"t": "event_timestamp"})
    job = store.get_historical_features(rows, [f"view:{name}" for name in RESULTS[task]])
    found = job.to_arrow().rename_columns({"event_timestamp": "t"})
    pq.write_table(found, out / "0.parquet", compression="snappy")


def digest(out: Path, task: str) -> list[int]:
    """The number of rows and the sum of their hashes, whatever their order; numbers as DOUBLE, which holds them all."""
    import duckdb as database

    columns = ", ".join(f"{name}::DOUBLE" for name in RESULTS[task])
    with database.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = f"SELECT count(*), sum(hash(key, epoch_us(t), {columns})::HUGEINT) FROM '{out}/*.parquet'"
        return [int(value) for value in connection.execute(query).fetchone()]


def child(what: str, folder: Path, given: str, out: Path) -> object:
    """What a process of its own does; `given` is the scale and the facts per row for `make`, else a task."""
    if what == "make":
        return make_tables(folder, *map(int, given.split("x")))
    if what == "digest":
        return digest(out, given)
    imports = {"engine": "ml_assets.features.engine.parts", "feast": "feast.infra.offline_stores.duckdb"}
    __import__(imports.get(what, what))
    begin, busy = time.perf_counter(), time.process_time()
    {"engine": engine, "duckdb": duckdb, "polars": polars, "feast": feast}[what](folder, given, out)
    return [time.perf_counter() - begin, time.process_time() - busy]


def run_child(python: str, *arguments: object) -> tuple[object, float]:
    """Run a process to its end: what it told, and its peak memory in MiB.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([python, __file__, "--child", *map(str, arguments)], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, arguments))} ended with exit code {process.returncode}")
        output.seek(0)
        told = output.read().splitlines()[-1]
    return json.loads(told), usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(way: str, python: str, task: str, scale: int, folder: Path) -> Measured:
    """One run of one way, and the digest of what it found."""
    out = folder / "out"
    out.mkdir()
    (seconds, busy), peak = run_child(python, way, folder, task, out)
    found, _ = run_child(sys.executable, "digest", folder, task, out)
    shutil.rmtree(out)
    return Measured(task, scale, way, seconds, busy, ROWS * scale / seconds, peak, found)


def measure_all(asked: argparse.Namespace) -> list[Measured]:
    """Every way, task and scale: the best of its runs. The ways take turns, so that all meet the same load."""
    found = []
    for scale in asked.scales:
        with tempfile.TemporaryDirectory(prefix="ml_assets-point_in_time-") as name:
            folder = Path(name)
            run_child(sys.executable, "make", folder, f"{scale}x{asked.facts_per_row}", folder)
            for task in asked.tasks:
                wanted = [way for way in WAYS[task] if way in asked.ways]
                ways = [way for way in wanted if scale <= LARGEST.get((task, way), scale)]
                pythons = {way: asked.peers_python if way == "feast" else sys.executable for way in ways}
                runs = {way: [] for way, python in pythons.items() if python}
                for _ in range(asked.runs):
                    for way, mine in runs.items():
                        mine.append(measure(way, pythons[way], task, scale, folder))
                found += [best_of(mine) for mine in runs.values()]
    return found


def best_of(runs: list[Measured]) -> Measured:
    """The fastest of several runs, with the largest of their peaks."""
    best = min(runs, key=lambda run: run.seconds)
    return Measured(**asdict(best) | {"peak_mib": max(run.peak_mib for run in runs)})


def ratios(found: list[Measured]) -> list[dict]:
    """Everything measured, with times and memory over those of DuckDB, None where it did not run."""
    base = {(one.task, one.scale): one for one in found if one.way == BASE}
    rows = []
    for one in found:
        against = base.get((one.task, one.scale))
        over = {f"{cost}_ratio": getattr(one, cost) / getattr(against, cost) if against else None for cost in COSTS}
        rows.append(asdict(one) | over)
    return rows


def growth(found: list[Measured]) -> list[dict]:
    """The exponent e of cost ~ rows^e from each scale to the next, of each cost, and that of n log n.

    Where others share the machine, the exponent of processor time is the steadier one.
    """
    rows = []
    for task, way in dict.fromkeys((one.task, one.way) for one in found):
        scales = sorted((one for one in found if (one.task, one.way) == (task, way)), key=lambda one: one.scale)
        for small, large in pairwise(scales):
            times = large.scale / small.scale
            n_log_n = times * math.log(ROWS * large.scale) / math.log(ROWS * small.scale)
            rows.append(
                {
                    "task": task,
                    "way": way,
                    "scales": f"{small.scale} to {large.scale}",
                    "n_log_n": math.log(n_log_n, times),
                }
                | {cost: math.log(getattr(large, cost) / getattr(small, cost), times) for cost in COSTS}
            )
    return rows


def differing(found: list[Measured]) -> list[str]:
    """Which results are not the engine's."""
    expected = {(one.task, one.scale): one.digest for one in found if one.way == "engine"}
    return [
        f"{one.task} at scale {one.scale}: {one.way} and the engine differ"
        for one in found
        if one.digest != expected[one.task, one.scale]
    ]


def show(told: dict) -> None:
    """Tables for people."""
    from rich.console import Console
    from rich.table import Table

    # Title -> column -> its heading and format.
    shown = {
        "measured": {
            "task": ("task", ""), "scale": ("scale", ""), "way": ("way", ""), "seconds": ("s", ".2f"),
            "cpu_seconds": ("cpu s", ".2f"), "rows_per_second": ("rows/s", ",.0f"), "peak_mib": ("MiB", ",.0f"),
            "seconds_ratio": ("s /duckdb", ".2f"), "cpu_seconds_ratio": ("cpu /duckdb", ".2f"),
            "peak_mib_ratio": ("MiB /duckdb", ".2f"),
        },
        "growth": {
            "task": ("task", ""), "way": ("way", ""), "scales": ("scales", ""), "n_log_n": ("n log n", ".2f"),
            "seconds": ("s", ".2f"), "cpu_seconds": ("cpu s", ".2f"), "peak_mib": ("MiB", ".2f"),
        },
    }  # fmt: skip
    console = Console(highlight=False, width=110)
    for title, columns in shown.items():
        if told[title]:
            table = Table(title=title, title_justify="left")
            for heading, how in columns.values():
                table.add_column(heading, justify="right" if how else "left", no_wrap=True)
            for row in told[title]:
                table.add_row(
                    *("" if row[name] is None else format(row[name], how) for name, (_, how) in columns.items())
                )
            console.print(table)
    load = ", ".join(f"{value:.1f}" for value in told["load"])
    console.print(f"All results are the same, row for row. {told['cores']} cores; load before and after: {load}.")


def main() -> None:
    parser = argparse.ArgumentParser(description="The feature engine beside DuckDB, Polars and Feast.")
    parser.add_argument("--scales", nargs="+", type=int, default=[1, 10, 100], help="times the flights")
    parser.add_argument("--facts-per-row", type=int, default=1, help="facts for each row of the spine")
    parser.add_argument("--ways", nargs="+", choices=WAYS["latest"], default=WAYS["latest"])
    parser.add_argument("--tasks", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--runs", type=int, default=1, help="runs of each, of which the best is told")
    parser.add_argument("--peers-python", help="a Python that has feast[duckdb]")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    asked = parser.parse_args()
    load = [os.getloadavg()[0]]
    found = measure_all(asked)
    if wrong := differing(found):
        raise SystemExit("\n".join(wrong))
    told = {"measured": ratios(found), "growth": growth(found), "cores": os.cpu_count()}
    told["load"] = [*load, os.getloadavg()[0]]
    if asked.json:
        print(json.dumps(told))  # noqa: T201
    else:
        show(told)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what, folder, given, out = sys.argv[2:]
        print(json.dumps(child(what, Path(folder), given, Path(out))))  # noqa: T201
    else:
        main()
