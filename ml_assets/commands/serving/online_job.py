"""The online features of a use case, built in this process."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import dagster as dg
from rich import box
from rich.console import Console
from rich.table import Table

from ml_assets.automation.execute import Runner
from ml_assets.automation.jobs import online_job
from ml_assets.automation.lifecycle import PlannedRun
from ml_assets.commands.progress import StepProgress, run_progress, step_title
from ml_assets.online.values.record import online_key


@dataclass(frozen=True)
class BuiltView:
    """What was built of one view.

    Attributes:
        as_of: ISO 8601 moment that the build looks from.
        agrees: whether the sample that was recomputed was the same.
    """

    view: str
    entities: int
    moments: int
    as_of: str
    seconds: float
    agrees: bool


def build_online(
    definitions: dg.Definitions, use_case: str, views: Sequence[str], as_of: str, console: Console
) -> list[BuiltView]:
    """Materialize the online features of a use case and show progress.

    Args:
        views: those to build; empty for all.
        as_of: ISO 8601 moment; empty for the newest that each table knows.

    Raises:
        ValueError: the use case keeps no features for requests, or not those of a view.
        RunFailed: a build failed; those before it are read already.
    """
    assets = tuple(online_key(view) for view in _known(definitions, use_case, views))
    planned = PlannedRun(f"{use_case}: online features", online_job(use_case), as_of=as_of, assets=assets)
    runner = Runner(definitions, dg.DagsterInstance.get())
    with run_progress(console, planned.title, runner.steps_of(planned)) as progress:
        heard = _Heard(progress)
        runner.run(planned, runner.key_of(planned, "", "", assets), heard)
    return heard.built()


def print_built(console: Console, built: Sequence[BuiltView]) -> None:
    """Print one line per view."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("view", "entities", "moments", "as of", "seconds", "agrees"):
        justify = "right" if heading in ("entities", "moments", "seconds") else "left"
        table.add_column(heading, justify=justify, no_wrap=True)
    for view in built:
        as_of, agrees = view.as_of[:16].replace("T", " "), "yes" if view.agrees else "[bold red]no[/]"
        table.add_row(view.view, f"{view.entities:,}", f"{view.moments:,}", as_of, f"{view.seconds:.2f}", agrees)
    console.print(table)


def as_json(built: Sequence[BuiltView]) -> str:
    """Return the built views as one JSON object."""
    return json.dumps({"views": [asdict(view) for view in built]}, indent=2)


def _known(definitions: dg.Definitions, use_case: str, views: Sequence[str]) -> list[str]:
    """Return the named views, or all views of the use case that are kept online; raises ValueError for an
    unknown view."""
    specs = definitions.resolve_all_asset_specs()
    kept = sorted(spec.key.path[-1] for spec in specs if spec.group_name == use_case and spec.key.path[0] == "online")
    if not kept:
        raise ValueError(f"{use_case} keeps no features for requests: declare `online:` on a feature view with a table")
    if unknown := [view for view in views if view not in kept]:
        raise ValueError(f"{use_case} keeps no features of {', '.join(unknown)}; it keeps those of {', '.join(kept)}")
    return list(views) or kept


class _Heard:
    """What the run tells of each view, as it happens."""

    def __init__(self, progress: StepProgress) -> None:
        self._progress = progress
        self._metadata: dict[str, dict] = {}
        self._agrees: dict[str, bool] = {}
        self._seconds: dict[str, float] = {}

    def __call__(self, event: dg.DagsterEvent) -> None:
        self._progress(event)
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            made = event.step_materialization_data.materialization
            self._metadata[made.asset_key.path[-1]] = {name: value.value for name, value in made.metadata.items()}
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            self._agrees[check.asset_key.path[-1]] = check.passed
        elif event.is_step_success:
            self._seconds[step_title(event).rpartition("/")[2]] = event.step_success_data.duration_ms / 1000

    def built(self) -> list[BuiltView]:
        return [
            BuiltView(
                view, facts["entities"], facts["moments"], facts["as_of"], self._seconds[view], self._agrees[view]
            )
            for view, facts in sorted(self._metadata.items())
        ]
