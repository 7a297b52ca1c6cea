"""The online features of a use case, built in this process."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import dagster as dg
from rich import box
from rich.console import Console
from rich.table import Table

from ml_assets.automation.execute import Runner
from ml_assets.automation.jobs import online_job
from ml_assets.automation.lifecycle import PlannedRun
from ml_assets.commands.progress import StepProgress, run_progress, step_title
from ml_assets.declarations.project import DeclaredProject
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.home import Home
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


def read_moment(text: str) -> datetime | None:
    """Read an ISO 8601 moment, in UTC where it has no zone; None for none; raises ValueError."""
    if not text:
        return None
    given = datetime.fromisoformat(text)
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def push_what_followed_builds(
    project: DeclaredProject, home: Home, views: Sequence[str], until: datetime
) -> dict[str, int]:
    """Push the facts that tables hold of the time from the builds of views on, up to a moment; returns their numbers
    by view."""
    from ml_assets.lake import Lake
    from ml_assets.online.replayed import push_what_followed
    from ml_assets.online.stores.opening import open_store

    lake, store = Lake(home.lake), open_store(home.online_store)
    by_table: dict[str, list[FeatureViewSpec]] = {}
    for name in views:
        view = project.views[name]
        by_table.setdefault(view.table or "", []).append(view)
    try:
        pushed: dict[str, int] = {}
        for table, own in by_table.items():
            pushed |= push_what_followed(store, table, own, lake.scan(table), until)
        return pushed
    finally:
        store.close()


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


def pushed_line(pushed: Mapping[str, int], until: datetime) -> str:
    """Say how many facts were pushed to views behind their builds."""
    return f"{sum(pushed.values()):,} facts pushed to {len(pushed)} views, complete until {until:%Y-%m-%d %H:%M} UTC"


def as_json(built: Sequence[BuiltView], pushed: Mapping[str, int] | None = None) -> str:
    """Return the built views as one JSON object, with the facts that were pushed since, where some were to be."""
    facts = {} if pushed is None else {"pushed": dict(pushed)}
    return json.dumps({"views": [asdict(view) for view in built], **facts}, indent=2)


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
