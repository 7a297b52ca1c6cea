"""What drift costs: ours beside NannyML's univariate calculator and Evidently's drift preset, on the same rows.

    python benchmarks/monitoring.py [--rows 100000] [--columns 50] [--ways ours nannyml evidently] [--json]
        [--peers-python PYTHON] [--stream-rows 0] [--no-drop] [--scratch FOLDER]

Three tasks. `drift`: two Parquet files, four of five columns numbers and the fifth text, as two samples (ours and
NannyML: Kolmogorov-Smirnov, Jensen-Shannon and chi-squared; ours PSI too; Evidently: its preset). `stream`: one
Parquet file of five columns, profiled batch by batch. `drop`: the report of a drop of 28,000 rows of 99 features
against a reference of 25,000, reconstruction error included, with the reference's profiles known as from the second
drop on. Each way runs in a process of its own; times are processor seconds after the imports, from reading the files
on. Evidently runs where `--peers-python` names a Python that has it, and is left out elsewhere.

Exit code: 0, or 1 where a way failed.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

# Nothing large is imported by the process that starts the others: Linux counts its memory in their peak.

BATCH = 1_000_000
DROP_ROWS, REFERENCE_ROWS, FEATURES, TEXTS = 28_000, 25_000, 99, 4
REPORT = 3
"""Runs of the drop's report of which the fastest counts: the first pays for what is loaded when first used."""


def processor_seconds() -> float:
    """Return what this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def made_up(rows: int, columns: int, texts: int, seed: int):
    """Return a Polars frame of numbers of several shapes, and of text of 20 categories."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    shift = 0.1 * (seed % 2)
    shapes = [
        lambda: rng.normal(shift, 1, rows), lambda: rng.exponential(1 + shift, rows),
        lambda: rng.poisson(3, rows).astype(float), lambda: rng.normal(0, 1, rows).round(2),
    ]  # fmt: skip
    numbers = {f"n{i}": shapes[i % len(shapes)]() for i in range(columns - texts)}
    names = np.array([f"category {i}" for i in range(20)])
    return pl.DataFrame(numbers | {f"t{i}": names[rng.integers(0, 20, rows)] for i in range(texts)})


def write(path: Path, rows: int, columns: int, texts: int, seed: int) -> None:
    """Write made-up rows, a part at a time; of many parts some are there again."""
    import pyarrow.parquet as pq

    writer = None
    parts = [made_up(min(BATCH, rows), columns, texts, seed + 2 * i) for i in range(min(4, -(-rows // BATCH)))]
    for i, start in enumerate(range(0, rows, BATCH)):
        part = parts[i % len(parts)].head(rows - start).to_arrow()
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    if writer is not None:
        writer.close()


def ours(folder: Path) -> dict:
    """Profile both files and compare them."""
    import polars as pl

    from ml_assets.monitoring.drift.measure import measure_drift
    from ml_assets.monitoring.spec import MonitoringSpec

    spec = MonitoringSpec(reconstruction=False, chunk="9999d")
    began = processor_seconds()
    moment = pl.datetime(2024, 1, 1, time_zone="UTC").alias("at")
    frames = [pl.read_parquet(folder / f"{name}.parquet").with_columns(moment) for name in ("reference", "current")]
    found = measure_drift(*frames, features=frames[0].columns[:-1], time="at", spec=spec)
    return {"seconds": processor_seconds() - began, "values": found.filter(scope="chunk").height}


def nannyml(folder: Path) -> dict:
    """Compare by NannyML's calculator, the whole second file as one chunk."""
    import pandas as pd

    from ml_assets.monitoring import nml

    library = nml.load()
    began = processor_seconds()
    reference, current = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "current"))
    texts = [name for name in reference if name.startswith("t")]
    with nml.calls("the benchmark"):
        calculator = library.UnivariateDriftCalculator(
            column_names=list(reference), treat_as_categorical=texts, chunk_number=1,
            continuous_methods=["kolmogorov_smirnov", "jensen_shannon"],
            categorical_methods=["chi2", "jensen_shannon"],
        )  # fmt: skip
        calculator.fit(reference)
        result = calculator.calculate(current).filter(period="analysis").to_df()
    values = sum(column[-1] == "value" for column in result.columns)
    return {"seconds": processor_seconds() - began, "values": values}


def evidently(folder: Path) -> dict:
    """Compare by Evidently's preset."""
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    began = processor_seconds()
    reference, current = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "current"))
    made = Report([DataDriftPreset()]).run(current, reference)
    return {"seconds": processor_seconds() - began, "values": len(made.dict()["metrics"]) - 1}


def stream(folder: Path) -> dict:
    """Profile a file as a stream, on the grid of its first rows."""
    import polars as pl

    from ml_assets.profiles import Grid, profile

    began = processor_seconds()
    rows = pl.scan_parquet(folder / "stream.parquet")
    grid = Grid.of(rows.head(BATCH).collect())
    counted = profile(rows, grid)
    return {"seconds": processor_seconds() - began, "values": counted.columns["n0"].rows}


def drop(folder: Path) -> dict:  # noqa: ARG001
    """Report on a drop of four weeks, with a reference whose profiles are known."""
    from datetime import UTC, datetime, timedelta

    import polars as pl

    from ml_assets.monitoring.drift.measure import measure_profiled_drift
    from ml_assets.monitoring.spec import MonitoringSpec

    start, spec = datetime(2024, 1, 1, tzinfo=UTC), MonitoringSpec()

    def timed(rows: int, seed: int) -> pl.DataFrame:
        at = pl.datetime_range(start, start + timedelta(days=28), interval="1s", eager=True).gather_every(
            28 * 86400 // rows
        )
        return made_up(rows, FEATURES, TEXTS, seed).with_columns(at.head(rows).alias("at"))

    reference, current = timed(REFERENCE_ROWS, 0), timed(DROP_ROWS, 1)
    features = reference.columns[:-1]
    known, seconds = None, []
    for _ in range(1 + REPORT):
        began = processor_seconds()
        measured = measure_profiled_drift(reference, current, features=features, time="at", spec=spec, known=known)
        seconds.append(processor_seconds() - began)
        known = measured.profiles.known
    return {"seconds": min(seconds[1:]), "values": measured.drift.height, "first": round(seconds[0], 2)}


WAYS = {"ours": ours, "nannyml": nannyml, "evidently": evidently, "stream": stream, "drop": drop}


def run_apart(way: str, folder: Path, python: str) -> dict | None:
    """Run one way in a process of its own; None, with its last line on stderr, where it failed."""
    process = subprocess.run([python, __file__, "--way", way, str(folder)], capture_output=True, text=True, check=False)
    if process.returncode:
        sys.stderr.write(f"{way}: {(process.stderr.strip().splitlines() or ['failed'])[-1]}\n")
        return None
    return json.loads(process.stdout.splitlines()[-1])


def measure(given: argparse.Namespace) -> list[dict]:
    """Run everything that was asked for."""
    found = []

    def add(task: str, way: str, rows: int, columns: int, python: str = sys.executable) -> None:
        measured = run_apart(way, Path(folder), python)
        found.append({"task": task, "way": way, "rows": rows, "columns": columns, **(measured or {"failed": True})})

    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        if given.rows:
            for seed, name in enumerate(("reference", "current")):
                write(Path(folder) / f"{name}.parquet", given.rows, given.columns, given.columns // 5, seed)
            for way in given.ways:
                if way == "evidently" and not given.peers_python:
                    sys.stderr.write("evidently is left out: --peers-python names a Python that has it\n")
                    continue
                python = given.peers_python if way == "evidently" else sys.executable
                add("drift", way, given.rows, given.columns, python)
        if given.stream_rows:
            write(Path(folder) / "stream.parquet", given.stream_rows, 5, 1, 0)
            add("stream", "stream", given.stream_rows, 5)
        if given.drop:
            add("drop", "drop", DROP_ROWS, FEATURES)
    return found


def table(found: list[dict]) -> str:
    """Return what was measured as a Markdown table; ratios are to ours at the same task."""
    lines = ["| task | way | rows | columns | cpu s | ratio | peak MiB |", "|---|---|---:|---:|---:|---:|---:|"]
    base = next((each["seconds"] for each in found if each["way"] == "ours" and "seconds" in each), None)
    for each in found:
        if "failed" in each:
            lines.append(f"| {each['task']} | {each['way']} | {each['rows']:,} | {each['columns']} | failed | | |")
            continue
        ratio = f"{each['seconds'] / base:.1f}" if base and each["task"] == "drift" else ""
        size = f"{each['rows']:,} | {each['columns']}"
        cost = f"{each['seconds']:.2f} | {ratio} | {each['peak_mib']:,}"
        lines.append(f"| {each['task']} | {each['way']} | {size} | {cost} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="Rows of each of the two files; 0 for none.")
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--ways", nargs="+", choices=["ours", "nannyml", "evidently"], default=list(WAYS)[:3])
    parser.add_argument("--peers-python", help="a Python that has evidently")
    parser.add_argument("--stream-rows", type=int, default=0, help="Rows of the file that is streamed; 0 for none.")
    parser.add_argument("--no-drop", dest="drop", action="store_false", help="Leave the drop's report out.")
    parser.add_argument("--scratch", help="Folder for the files; by default the system's.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        measured = WAYS[given.way[0]](Path(given.way[1]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        sys.stdout.write(json.dumps(measured | {"peak_mib": peak}) + "\n")
        return
    found = measure(given)
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if given.json else table(found))
    sys.exit(any("failed" in each for each in found))


if __name__ == "__main__":
    main()
