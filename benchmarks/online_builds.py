"""What builds of an online store cost: one of all entities, an update after some had news, and the same as a whole.

    python benchmarks/online_builds.py [--entities 100000 1000000] [--facts 10] [--news 0.01] [--minutes 15]

Each build is made by a process of its own, which reports its processor time, its largest memory and what it wrote. The
facts lie evenly over 28 days in a lake's table, a partition a day; the news are facts of the last minutes, each of
another entity. `update_share` is the update's time in that of the first build, both from one run.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.building.affected import CHANGE, MOST_CHANGED
from ml_assets.online.stores.opening import open_store

AS_OF = datetime(2024, 3, 29, tzinfo=UTC)
DAYS = 28
VIEW = FeatureViewSpec(
    name="habits", description="What customers buy.", entity=["customer"], table="orders", known_at="paid_at",
    windows=["1d", "7d", "28d"],
    aggregates={"amount": {"of": "amount", "functions": ["mean", "max"]}, "orders": {"functions": ["count"]}},
)  # fmt: skip


def facts(customers: np.ndarray, first: datetime, length: timedelta, seed: int) -> pl.DataFrame:
    """Return a fact of each customer at a random moment of a span."""
    rng = np.random.default_rng(seed)
    begin, span = int(first.timestamp() * 1e6), length // timedelta(microseconds=1)
    moments = pl.Series(begin + rng.integers(0, span, customers.size)).cast(pl.Datetime("us"))
    return pl.DataFrame(
        {
            "customer": customers,
            "paid_at": moments.dt.replace_time_zone("UTC"),
            "amount": rng.gamma(2.0, 20.0, customers.size).round(2),
            "day": str(first.date()),
        }
    )


def write_table(lake: Lake, entities: int, per_entity: int) -> None:
    """Write the table a day at a time."""
    rng = np.random.default_rng(0)
    for day in range(DAYS):
        rows = entities * per_entity // DAYS
        first = AS_OF - timedelta(days=DAYS - day)
        lake.append("orders", facts(rng.integers(0, entities, rows), first, timedelta(days=1), day), ["day"])


def build(home: Path, store: str, minutes: int) -> None:
    """Build into a store, update it if it was built, and print what it took."""
    lake = Lake(str(home / "lake"))
    version = lake.version("orders")
    began = _processor_seconds()
    made = build_view(
        open_store(f"sqlite:///{home}/{store}.db"), VIEW, lake.scan("orders", version),
        as_of=AS_OF + timedelta(minutes=minutes), max_age=timedelta(days=1), build=f"v{version}", table_version=version,
        changed_since=lambda since: lake.changed_rows("orders", since, version, change=CHANGE, most=MOST_CHANGED),
    )  # fmt: skip
    took = {
        "seconds": round(_processor_seconds() - began, 2),
        "largest_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "entities": made.entities,
        "moments": made.moments,
        "file_mb": sum(path.stat().st_size for path in home.glob(f"{store}.db*")) // 10**6,
    }
    sys.stdout.write(json.dumps(took) + "\n")


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _apart(*arguments: object) -> dict:
    """Run a build in a process of its own."""
    command = [sys.executable, __file__, "--build", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(entities: int, per_entity: int, news: float, minutes: int, *, again: bool) -> dict:
    """Measure the builds of a number of entities."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        lake = Lake(str(home / "lake"))
        write_table(lake, entities, per_entity)
        measured: dict = {"facts": entities * per_entity, "first": _apart(home, "online", 0)}
        some = np.random.default_rng(1).choice(entities, int(entities * news), replace=False)
        lake.append("orders", facts(some, AS_OF, timedelta(minutes=minutes), 99), ["day"])
        measured["update"] = _apart(home, "online", minutes)
        measured["update_share"] = round(measured["update"]["seconds"] / measured["first"]["seconds"], 3)
        if again:
            measured["whole_again"] = _apart(home, "other", minutes)
        return measured


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--facts", type=int, default=10, help="Facts of each entity.")
    parser.add_argument("--news", type=float, default=0.01, help="Share of the entities that have news.")
    parser.add_argument("--minutes", type=int, default=15, help="Time between the two builds.")
    parser.add_argument("--again", action="store_true", help="Build all entities anew beside the update.")
    parser.add_argument("--build", nargs=3, metavar=("HOME", "STORE", "MINUTES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        build(Path(given.build[0]), given.build[1], int(given.build[2]))
        return
    for entities in given.entities:
        measured = measure(entities, given.facts, given.news, given.minutes, again=given.again)
        sys.stdout.write(json.dumps({"entities": entities} | measured) + "\n")


if __name__ == "__main__":
    main()
