"""The main job beside a plain script that does the same work: what the platform costs, and where it goes.

Run `python benchmarks/lifecycle.py [--json] [--keep]`. Both run once, one after the other, each in a process of its
own, the main job in a fresh home. Ratios, not seconds, are what compares across machines, and on a shared machine the
ratio of processor times is the steadier one. `--compare HOME` measures nothing and compares the features stored in a
home with the plain script's. Exit code 1 says that the two do not agree on the features.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

# Nothing large is imported before both have run: Linux counts the memory of the process that starts a child in the
# child's peak.

HERE = Path(__file__).resolve().parent
USE_CASE, CUT_OFF = "flights", "2013-10-01"
MODEL = "flight_delay"
# The platform sets this for itself. Without it, threads that wait would spin, and the plain script's times would say
# more about what else the machine is doing.
SAME_FOR_BOTH = {"OMP_WAIT_POLICY": "PASSIVE"}

# Where the seconds go: a name, the platform's steps, the plain script's stages that do the same.
STAGES = {
    "sources and gates": (r"__(raw|gate)$", ["read"]),
    "SQL models (dbt)": (r"^dbt_", ["tables"]),
    "features and their audit": (r"^features__", ["features"]),
    "training set": (r"__training_set$", ["training set"]),
    "parameter search": (r"__tuned_parameters$", ["search"]),
    "fit and MLflow": (r"__model$", ["fit"]),
    "evaluation and promotion": (r"__(evaluation|champion)$", []),
    "scoring": (r"__predictions$", ["score"]),
    "monitoring": (r"__(drift|performance)_report$", []),
    "other steps": (r"", []),
}


@dataclass(frozen=True)
class Cost:
    """What one command took: seconds on the clock and on the processors, MiB of its largest process."""

    wall: float
    cpu: float
    peak_mib: float


def measure(command: list[str], environment: dict[str, str]) -> tuple[Cost, str, float]:
    """Run a command to its end; returns its cost, its standard output and when it began (Unix time).

    Raises:
        SystemExit: the command failed.
    """
    with tempfile.TemporaryFile("w+") as output:
        began, start = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, env=os.environ | SAME_FOR_BOTH | environment, cwd=HERE.parent
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
        output.seek(0)
        unit = 2**20 if sys.platform == "darwin" else 2**10
        cost = Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)
        return cost, output.read(), began


def run_plain() -> tuple[Cost, dict]:
    """The plain script, and what it told."""
    cost, told, _ = measure([sys.executable, str(HERE / "plain_script.py"), "--json"], {})
    return cost, json.loads(told)


def run_platform(home: Path) -> tuple[Cost, dict, dict[str, float]]:
    """The main job in a home: its cost, its summary, and seconds by stage."""
    program = str(Path(sys.executable).parent / "ml-assets")
    command = [program, "run", USE_CASE, "--model", MODEL, "--train-as-of", CUT_OFF, "--json"]
    cost, told, began = measure(command, {"ML_ASSETS_HOME": str(home)})
    return cost, json.loads(told)[MODEL], stage_seconds(home, began, cost.wall)


def stage_seconds(home: Path, began: float, wall: float) -> dict[str, float]:
    """Seconds by stage from Dagster's event log; all of them add up to `wall`.

    Args:
        began: Unix time at which the main job was started.
    """
    import dagster as dg

    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    seconds = dict.fromkeys(["start-up", *STAGES], 0.0)
    with dg.DagsterInstance.get() as instance:
        records = instance.get_run_records(ascending=True)
        logs = [instance.all_logs(r.dagster_run.run_id, dg.DagsterEventType.STEP_SUCCESS) for r in records]
    steps = [entry.dagster_event for log in logs for entry in log]
    for step in steps:
        stage = next(name for name, (pattern, _) in STAGES.items() if re.search(pattern, step.step_key))
        seconds[stage] += step.step_success_data.duration_ms / 1000
    in_steps = sum(seconds.values())
    # From its creation, not its first step: Dagster first writes down every asset, partition and check that is planned.
    in_runs = sum(record.end_time - record.create_timestamp.timestamp() for record in records)
    seconds["start-up"] = records[0].create_timestamp.timestamp() - began
    seconds["orchestration of runs"] = in_runs - in_steps
    seconds["between runs, summary, exit"] = wall - in_runs - seconds["start-up"]
    return seconds


def side_by_side(platform: dict[str, float], plain: dict[str, float], plain_wall: float) -> list[dict]:
    """One row per stage: the seconds of both and their difference."""
    told = {name: sum(plain[stage] for stage in stages) for name, (_, stages) in STAGES.items()}
    told["start-up"] = plain_wall - sum(plain.values())
    rows = [(name, seconds, told.get(name, 0.0)) for name, seconds in platform.items()]
    return [
        {"stage": name, "platform": ours, "plain": theirs, "more": ours - theirs}
        for name, ours, theirs in rows
        if ours or theirs
    ]


def measured_auc(summary: dict, plain: dict) -> list[dict]:
    """ROC AUC of both on the holdout and on each month that came after training."""
    holdout = {row["metric"]: row for row in summary["holdout"]}["roc_auc"]
    ours = {"holdout": holdout["model"], **{drop["drop"]: drop["realised"] for drop in summary["drops"]}}
    return [{"rows": name, "platform": value, "plain": plain["auc"].get(name)} for name, value in ours.items()]


def same_parameters(home: Path, plain: dict) -> bool:
    """Whether both searches ended with the same parameters."""
    from ml_assets.lake import Lake

    record = Lake(str(home / "lake")).scan(f"{MODEL}/tuned_parameters").select("record").collect().item()
    return json.loads(record)["parameters"] == plain["parameters"]


def run_benchmark(home: Path) -> dict:
    """Run both and compare; everything that is printed."""
    load = [os.getloadavg()[0]]
    plain_cost, plain = run_plain()
    load.append(os.getloadavg()[0])
    cost, summary, seconds = run_platform(home)
    load.append(os.getloadavg()[0])
    ratios = {name: value / getattr(plain_cost, name) for name, value in asdict(cost).items()}
    return {
        "load": load,
        "cores": os.cpu_count(),
        "platform": asdict(cost),
        "plain": asdict(plain_cost),
        "ratio": ratios,
        "stages": side_by_side(seconds, plain["seconds"], plain_cost.wall),
        "roc_auc": measured_auc(summary, plain),
        "same_parameters": same_parameters(home, plain),
        "features": compare(home),
    }


def compare(home: Path) -> dict:
    """How the features in a home agree with the plain script's, and whether both are set to the same work."""
    from agreement import TOLERANCE, compare_features, declaration_gaps

    differing, columns, rows = compare_features(home)
    return {
        "columns": columns,
        "rows": rows,
        "tolerance": TOLERANCE,
        "differing": [asdict(difference) for difference in differing],
        "other_settings": declaration_gaps(),
    }


def show(told: dict) -> None:
    """Tables for people."""
    from rich.console import Console

    console = Console(highlight=False)
    if "ratio" in told:
        console.print(_table("cost", _cost_rows(told), {"platform": 1, "plain": 1, "ratio": 2}))
        console.print(_table("where the seconds go", told["stages"], {"platform": 1, "plain": 1, "more": 1}))
        console.print(_table("ROC AUC", told["roc_auc"], {"platform": 4, "plain": 4}))
        found = "the same" if told["same_parameters"] else "other"
        load = ", ".join(f"{value:.1f}" for value in told["load"])
        console.print(f"Both searches found {found} parameters. Load before, between and after: {load}.")
    features = told["features"]
    differing = features["differing"]
    console.print(
        f"{features['columns'] - len(differing)} of {features['columns']} columns agree in all of {features['rows']:,} "
        f"rows (to {features['tolerance']:g} of their value)."
    )
    for one in differing:
        apart = "" if one["largest"] is None else f", up to {one['largest']:.2g} of the value apart"
        values = f"platform {one['platform']}, plain {one['plain']}"
        console.print(
            f"  {one['column']}: {one['rows']:,} rows{apart}; the first is {one['flight']}: {values}", soft_wrap=True
        )
    for gap in features["other_settings"]:
        console.print(f"[yellow]Not the same work:[/] {gap}")


def _cost_rows(told: dict) -> list[dict]:
    names = {"wall": "wall time, s", "cpu": "processor time, s", "peak_mib": "peak memory, MiB"}
    return [
        {"cost": text, **{side: told[side][name] for side in ("platform", "plain", "ratio")}}
        for name, text in names.items()
    ]


def _table(title: str, rows: list[dict], digits: dict[str, int]):
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="right" if name in digits else "left")
    for row in rows:
        table.add_row(*(_shown(value, digits.get(name)) for name, value in row.items()))
    return table


def _shown(value: object, digits: int | None) -> str:
    return f"{value:.{digits}f}" if digits is not None and isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description="The main job beside a plain script that does the same work.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--keep", action="store_true", help="keep the main job's home and say where it is")
    parser.add_argument("--compare", metavar="HOME", type=Path, help="only compare the features stored in a home")
    asked = parser.parse_args()
    if asked.compare:
        told = {"features": compare(asked.compare)}
    else:
        home = Path(tempfile.mkdtemp(prefix="ml_assets-lifecycle-"))
        try:
            told = run_benchmark(home) | ({"home": str(home)} if asked.keep else {})
        finally:
            if not asked.keep:
                shutil.rmtree(home)
    if asked.json:
        print(json.dumps(told, default=str))  # noqa: T201
    else:
        show(told)
        if "home" in told:
            print(f"The main job's home: {told['home']}")  # noqa: T201
    sys.exit(1 if told["features"]["differing"] else 0)


if __name__ == "__main__":
    main()
