"""Training runs: opened, closed, resumed, and those that killed processes left open."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from ml_assets.registry.records import RunOrigin
from ml_assets.registry.store.connection import MlflowConnection, all_pages
from ml_assets.registry.trackers.interface import RunStatus, Tracker
from ml_assets.registry.trackers.mlflow import DAGSTER_RUN, MlflowTracker
from ml_assets.registry.trackers.training_run import TrainingRun

_STALE = "closed_as_stale"


@contextmanager
def training_run(
    mlflow: MlflowTracker, listeners: Mapping[str, Tracker], name: str, origin: RunOrigin, tags: Mapping[str, str]
) -> Iterator[TrainingRun]:
    """Open a run in every tracker and close it: FINISHED, FAILED on an error, KILLED on an interrupt."""
    begun = mlflow.create(name, origin, tags)
    run = TrainingRun(mlflow.start(begun))
    status: RunStatus = "KILLED"
    try:
        run.begin(listeners, lambda tracker: tracker.start(begun))
        run.log_json("declaration.json", origin.declaration)
        yield run
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        run.end(status)


def resumed_run(mlflow: MlflowTracker, listeners: Mapping[str, Tracker], run_id: str) -> TrainingRun:
    """Resume a run that has ended, in every tracker."""
    run = TrainingRun(mlflow.resume(run_id))
    run.begin(listeners, lambda tracker: tracker.resume(run_id))
    return run


def close_stale_runs(connection: MlflowConnection, dagster_run_ids: Iterable[str]) -> int:
    """End the MLflow runs that killed Dagster runs left RUNNING; return how many there were.

    They get the status KILLED and the tag ``closed_as_stale``.
    """
    dead = set(dagster_run_ids)
    running = all_pages(
        connection.client.search_runs,
        experiment_ids=[connection.experiment_id],
        filter_string="attributes.status = 'RUNNING'",
    )
    stale = [run.info.run_id for run in running if run.data.tags.get(DAGSTER_RUN) in dead]
    for run_id in stale:
        _fail_pending_models(connection, run_id)
        connection.client.set_tag(run_id, _STALE, "true")
        connection.client.set_terminated(run_id, "KILLED")
    return len(stale)


def _fail_pending_models(connection: MlflowConnection, run_id: str) -> None:
    models = connection.client.search_logged_models(
        experiment_ids=[connection.experiment_id], filter_string=f"source_run_id = '{run_id}'"
    )
    for model in models:
        if model.status == "PENDING":
            connection.client.finalize_logged_model(model.model_id, "FAILED")
