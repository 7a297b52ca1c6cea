"""What was served, gathered from the command line: one run for each stretch of drops, and what came of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl
from rich.console import Console

from ml_assets.automation.execute import RunFailed, Runner
from ml_assets.automation.jobs import served_job
from ml_assets.automation.lifecycle import PlannedRun
from ml_assets.automation.projects import find_model, spine_of
from ml_assets.automation.sensors.served import drops_to_gather
from ml_assets.commands.progress import run_progress
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.modelling.skew_records import SKEW
from ml_assets.serving.log.skew import SkewRecord
from ml_assets.sources.drops.grains import stretches


@dataclass(frozen=True)
class GatheredDrop:
    """What was served about a drop, and how it compares with what should have been.

    Attributes:
        rows: rows that were answered about.
    """

    rows: int
    skew: SkewRecord


def gather_served(
    definitions: dg.Definitions, home: Home, model: str, drops: Sequence[str], console: Console
) -> tuple[list[GatheredDrop], str]:
    """Materialize what was served and, where that is monitored, what monitors it.

    Args:
        drops: the drops to gather; empty for all that were answered about.

    Returns:
        The drops, and what failed, empty for nothing.

    Raises:
        ValueError: no such model, it declares no `serving`, or nothing was answered.
    """
    declared = find_model(definitions, model)
    if declared.serving is None:
        raise ValueError(f"model {model} declares no `serving`: its answers are not gathered")
    lake, spine = Lake(home.lake), spine_of(definitions, declared)
    wanted = list(drops) or drops_to_gather(lake, model, spine)
    if not wanted:
        raise ValueError(f"{model}/request_log holds no answer about a row of {spine.table}: serve {model} first")
    runner = Runner(definitions, dg.DagsterInstance.get())
    job = served_job(_use_case(definitions, model))
    failed = ""
    for stretch in stretches(spine.drops.grain, wanted):
        planned = PlannedRun(f"{stretch[0]} to {stretch[-1]}: gather what was served", job, tuple(stretch), model=model)
        with run_progress(console, planned.title, runner.steps_of(planned)) as progress:
            try:
                runner.run(planned, "", progress)
            except RunFailed as error:
                failed = failed or str(error)
    return _gathered(lake, model, spine.partition, wanted), failed


def as_json(model: str, gathered: Sequence[GatheredDrop]) -> str:
    """Return the drops as one JSON object."""
    drops = [
        {
            **drop.skew.model_dump(exclude={"model", "rows"}),
            "rows": drop.rows,
            "compared": drop.skew.rows,
            "passed": drop.skew.passed,
        }
        for drop in gathered
    ]
    return json.dumps({"model": model, "drops": drops}, indent=2)


def as_table(gathered: Sequence[GatheredDrop]) -> str:
    """Return the drops as a table of text, one line per drop."""
    lines = [f"{'drop':<12}{'rows':>9}{'compared':>10}{'values':>9}{'differing':>11}  worst feature"]
    for drop in gathered:
        skew = drop.skew
        counts = f"{drop.rows:>9,}{skew.rows:>10,}{skew.values:>9,}{skew.differing:>11,}"
        lines.append(f"{skew.drop:<12}{counts}  {skew.worst_feature or '-'}")
    return "\n".join(lines)


def _use_case(definitions: dg.Definitions, model: str) -> str:
    key = dg.AssetKey([model, "served_predictions"])
    return next(spec.group_name or "default" for spec in definitions.resolve_all_asset_specs() if spec.key == key)


def _gathered(lake: Lake, model: str, partition: str, drops: Sequence[str]) -> list[GatheredDrop]:
    if not lake.exists(f"{model}/{SKEW}"):
        return []
    compared = lake.scan(f"{model}/{SKEW}").filter(pl.col("drop").is_in(drops)).sort("drop").select("record").collect()
    counts = lake.rows_by(f"{model}/served_predictions", partition)
    records = [SkewRecord.model_validate_json(record) for record in compared["record"]]
    return [GatheredDrop(counts.get(record.drop, 0), record) for record in records]
