"""Run planned jobs in this process, each once per state of code and data."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import dagster as dg

from ml_assets.automation.lifecycle import PlannedRun
from ml_assets.automation.projects import tree_of
from ml_assets.automation.run_tags import CLI, DECISION, LAUNCHED_BY, RANGE_END, RANGE_START, RUN_KEY
from ml_assets.code_version import code_fingerprint
from ml_assets.quality.message import BrokenDrop

Listener = Callable[[dg.DagsterEvent], None]


class RunFailed(RuntimeError):
    """A run ended in failure; the message is that of the step that failed first.

    Attributes:
        for_its_data: every step that failed did so because a gate turned a drop away.
    """

    def __init__(self, message: str, *, for_its_data: bool = False) -> None:
        super().__init__(message)
        self.for_its_data = for_its_data


@dataclass(frozen=True)
class Runner:
    """Runs jobs of loaded definitions on a Dagster instance.

    Attributes:
        left_out: models whose assets are not made.
    """

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    left_out: frozenset[str] = frozenset()

    def key_of(self, planned: PlannedRun, sources: str, before: str, models: Iterable[str] = ()) -> str:
        """Return the key of a run with the code of the project that the definitions come from; arguments as of
        `run_key`."""
        return run_key(planned, code_fingerprint(tree_of(self.definitions).project_root), sources, before, models)

    def is_done(self, run_key: str) -> bool:
        """Return whether a run with this key has succeeded before."""
        wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags={RUN_KEY: run_key})
        return bool(self.instance.get_runs(wanted, limit=1))

    def run(self, planned: PlannedRun, run_key: str, listener: Listener) -> None:
        """Execute the run in this process; raises RunFailed."""
        from ml_assets.dagster_internals import MAX_RETRIES_TAG, make_new_run_id

        run_id = make_new_run_id()
        failures: list[dg.DagsterEvent] = []

        def hear(entry: dg.EventLogEntry) -> None:
            event = entry.dagster_event
            if event is None:
                return
            if event.is_step_failure:
                failures.append(event)
            listener(event)

        self.instance.add_event_listener(run_id, hear)
        result = self.definitions.resolve_job_def(planned.job).execute_in_process(
            instance=self.instance,
            run_id=run_id,
            tags={
                RUN_KEY: run_key,
                LAUNCHED_BY: CLI,
                # The command that is killed is given again; no daemon makes its runs again meanwhile.
                MAX_RETRIES_TAG: "0",
                **_range_tags(planned),
                **_decision_tags(planned),
            },
            asset_selection=list(self._selected(planned) or ()) or None,
            run_config=_run_config(planned),
            raise_on_error=False,
        )
        if not result.success:
            first = root_cause(failures[0]) if failures else "the run failed before its first step"
            raise RunFailed(
                f"{planned.title}: {first}", for_its_data=bool(failures) and all(map(_is_broken_drop, failures))
            )

    def steps_of(self, planned: PlannedRun) -> int:
        """Count the steps of the run."""
        job = self.definitions.resolve_job_def(planned.job)
        wanted = self._selected(planned)
        return len(job.get_subset(asset_selection=wanted).graph.node_dict if wanted else job.graph.node_dict)

    def _selected(self, planned: PlannedRun) -> set[dg.AssetKey] | None:
        """Return the assets of the job that are wanted; None for all."""
        keys = self.definitions.resolve_job_def(planned.job).asset_layer.selected_asset_keys
        if planned.assets:
            return {key for key in keys if key.to_user_string() in planned.assets}
        if planned.model:
            return {key for key in keys if key.path[0] == planned.model}
        return {key for key in keys if key.path[0] not in self.left_out} if self.left_out else None


def run_key(planned: PlannedRun, code: str, sources: str, before: str, models: Iterable[str] = ()) -> str:
    """Return the key that identifies a run: what it does, with which code, on which deliveries, after which other run.

    Args:
        models: names that tell which models it is for.
    """
    what = [planned.job, *planned.drops, planned.as_of, planned.model, planned.decision, *models]
    parts = [*what, code, sources, before]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _is_broken_drop(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and BrokenDrop.__name__ in (error.cls_name, error.cause and error.cause.cls_name)


def root_cause(event: dg.DagsterEvent) -> str:
    """Return the message of what a failed step raised, in one line."""
    error = event.step_failure_data.error
    # Dagster's own error has the one that was raised as its cause. What that was made from says less than it does.
    if error is not None and error.cause is not None:
        error = error.cause
    message = " ".join(error.message.split()) if error else "no error was recorded"
    return f"step {event.step_key}: {message}"


def _decision_tags(planned: PlannedRun) -> dict[str, str]:
    return {DECISION: planned.decision} if planned.decision else {}


def _range_tags(planned: PlannedRun) -> dict[str, str]:
    if not planned.drops:
        return {}
    return {RANGE_START: planned.drops[0], RANGE_END: planned.drops[-1]}


def _run_config(planned: PlannedRun) -> dict:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if not planned.as_of:
        return quiet
    return quiet | {"resources": {"as_of": {"config": {"moment": planned.as_of}}}}
