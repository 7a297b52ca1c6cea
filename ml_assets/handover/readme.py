"""What the README of every format says about rows and answers."""

from ml_assets.training.fit import TrainedModel
from ml_assets.training.tasks import find_task

FEATURES = """
A row holds every feature by name, `null` where there is no value: `encoding.json` lists them, with the texts that a
category knows. `model.json` holds threshold, classes, calibration and intervals.
"""


def describe_answer(model: TrainedModel) -> str:
    """Describe in words what a model answers for a row."""
    return find_task(model.task).answers + (" and its interval" if model.intervals else "")
