"""What a push costs: processor time with few and with many known facts, and pushes a second of several writers.

    python benchmarks/online_pushes.py [--known 0 10000] [--pushes 200] [--writers 4] [--url sqlite:///...]

Run on two commits side by side to compare them: it uses nothing but `build_view` and `push_facts`.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
VIEW = FeatureViewSpec(
    name="carrier", description="How late the carrier has been.", entity=["carrier"], table="flights",
    known_at="arrived_at", windows=["3h", "1d", "7d", "28d"],
    aggregates={
        "delay": {"of": "delay", "functions": ["mean", "max"]}, "late": {"of": "delay > 15", "functions": ["mean"]},
    },
)  # fmt: skip
SCHEMA = {"carrier": pl.String, "arrived_at": MOMENT, "delay": pl.Float64}


def facts(known: int) -> pl.DataFrame:
    """Return facts of one carrier, evenly over 28 days."""
    step = timedelta(days=28) / max(known, 1)
    rows = [("XX", AS_OF - step * n, float(n % 97) / 8) for n in range(known)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def push(store, number: int, moment: datetime) -> None:
    """Push one fact."""
    rows = [{"carrier": "XX", "arrived_at": moment.isoformat(), "delay": float(number)}]
    push_facts(store, VIEW, rows, arrived_at=microseconds(moment))


def processor_seconds() -> float:
    """Return the processor time that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def one_writer(url: str, known: int, pushes: int) -> dict[str, float]:
    """Measure pushes one after the other, and a read after each; milliseconds of processor time."""
    store = open_store(url)
    build_view(store, VIEW, facts(known).lazy(), as_of=AS_OF, max_age=timedelta(days=1), build=f"b{known}")
    reader = OnlineFeatures(store, [VIEW])
    push(store, 0, AS_OF)
    pushing = reading = 0.0
    for number in range(1, pushes + 1):
        moment = AS_OF + timedelta(seconds=number)
        began = processor_seconds()
        push(store, number, moment)
        pushed = processor_seconds()
        for _ in range(10):
            reader.fetch([{"carrier": "XX"}], microseconds(moment))
        pushing, reading = pushing + pushed - began, reading + processor_seconds() - pushed
    return {"push_ms": 1000 * pushing / pushes, "read_ms": 100 * reading / pushes}


def _write(url: str, first: int, seconds: float, done) -> None:
    store, number = open_store(url), 0
    push(store, 0, AS_OF)
    until, began = time.monotonic() + seconds, processor_seconds()
    while time.monotonic() < until:
        push(store, number, AS_OF + timedelta(hours=1, microseconds=first + 8 * number))
        number += 1
    done.put((number, processor_seconds() - began))


def several_writers(url: str, writers: int, seconds: float) -> dict[str, float]:
    """Count the pushes a second of processes that all push to one entity, and their processor time a push."""
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    working = [context.Process(target=_write, args=(url, n, seconds, done)) for n in range(writers)]
    for process in working:
        process.start()
    counted = [done.get() for _ in working]
    for process in working:
        process.join()
    pushes = sum(number for number, _ in counted)
    spent = sum(each for _, each in counted)
    return {"pushes_a_second": pushes / seconds, "push_ms": 1000 * spent / pushes}


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--known", type=int, nargs="+", default=[0, 10_000])
    parser.add_argument("--pushes", type=int, default=200)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--url", default="", help="Store; default: a file of its own for each measurement.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for known in given.known:
            url = given.url or f"sqlite:///{folder}/{known}.db"
            sys.stdout.write(json.dumps({"known": known} | one_writer(url, known, given.pushes)) + "\n")
        if given.writers:
            url = given.url or f"sqlite:///{folder}/{given.known[-1]}.db"
            sys.stdout.write(
                json.dumps({"writers": given.writers} | several_writers(url, given.writers, given.seconds)) + "\n"
            )


if __name__ == "__main__":
    main()
