"""Tasks by name: what kind of outcome a model predicts. `task.py` says what a task is, the others are some."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ml_assets.extensions import Extensions
from ml_assets.training.metrics.metric import PINBALL, Metric, OpenMetrics
from ml_assets.training.tasks.task import Task

if TYPE_CHECKING:
    import polars as pl

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"

TASKS: Extensions[Task] = Extensions(
    "ml_assets.tasks",
    "task",
    {
        BINARY: "ml_assets.training.tasks.binary:TASK",
        MULTICLASS: "ml_assets.training.tasks.multiclass:TASK",
        REGRESSION: "ml_assets.training.tasks.regression:TASK",
    },
    "ml_assets.training.tasks.task:Task",
)


def find_task(name: str) -> Task:
    """Return the task that a declaration, a model or a record names.

    Raises:
        ExtensionError: there is no such task.
    """
    return TASKS.get(name)


def suggest_task(dtype: "pl.DataType", values: "pl.Series | None") -> str | None:
    """Return the task that a label most likely has; None where whole numbers without values leave it open.

    Args:
        values: the label's values where rows are at hand.
    """
    distinct = None if values is None else values.drop_nulls().unique()
    distinct = None if distinct is None or distinct.is_empty() else distinct
    for name, task in TASKS.loadable().items():
        suits = task.suits(dtype, distinct)
        if suits is not False:
            return name if suits else None
    return None


def tasks_where(holds: str) -> list[str]:
    """Return the names of the tasks with a true attribute ``holds``, such as ``calibratable``."""
    return [name for name, task in TASKS.loadable().items() if getattr(task, holds)]


def all_metrics() -> OpenMetrics:
    """Return the metrics of every task, by name."""
    of_tasks = [task.metrics for task in TASKS.loadable().values()]
    more = [metrics for metrics in of_tasks if isinstance(metrics, OpenMetrics)]
    return OpenMetrics(
        {name: metric for metrics in of_tasks for name, metric in metrics.items()},
        lambda name: next((metrics[name] for metrics in more if name in metrics), None),
        {pattern: metric for metrics in more for pattern, metric in metrics.patterns.items()},
    )


def searchable_metrics(task: str) -> OpenMetrics:
    """Return the metrics of a task that a search can optimise."""
    of = find_task(task)
    return all_metrics().only(lambda name: of.stopping_metric(name) is not None)


def estimable_metrics(task: str | None = None) -> OpenMetrics:
    """Return the metrics of a task, or of every task, that can be estimated before labels are known."""
    of = list(TASKS.loadable().values()) if task is None else [find_task(task)]
    return all_metrics().only(lambda name: any(name in one.metrics and one.is_estimable(name) for one in of))


def find_metric(name: str) -> Metric:
    """Find a metric of any task by its name.

    Raises:
        ValueError: no task has it.
    """
    metrics = all_metrics()
    if name not in metrics:
        raise ValueError(f"unknown metric '{name}': choose from {listed(metrics)}")
    return metrics[name]


def listed(metrics: Iterable[str]) -> str:
    """Write metrics as words, the pinball losses as one, and those that a mapping knows without listing them."""
    every = list(metrics)
    names = [name for name in every if name not in PINBALL]
    names += metrics.patterns if isinstance(metrics, OpenMetrics) else ()
    return ", ".join([*names, "pinball_0.01 to pinball_0.99"] if any(m in PINBALL for m in every) else names)
