"""Triton's classification extension: the most probable classes of each row, as texts."""

from collections.abc import Mapping
from typing import Any

from ml_assets.serving.errors import BadRequest
from ml_assets.training.tasks.columns import PREDICTION, PROBABILITY, SCORE


def class_count(tensor: Mapping[str, Any]) -> int | None:
    """Return how many classes a requested output wants; None where it is wanted as it is.

    Raises:
        BadRequest: that is no number of at least one.
    """
    parameters = tensor.get("parameters", {})
    name = tensor.get("name")
    if not isinstance(parameters, dict):
        raise BadRequest(f"outputs.{name}: parameters must be an object")
    if "shared_memory_region" in parameters:
        raise BadRequest(f"outputs.{name}: there is no shared memory here: leave it out")
    count = parameters.get("classification")
    if count is None:
        return None
    if type(count) is float and count.is_integer():
        count = int(count)
    if type(count) is not int or count < 1:
        raise BadRequest(f"outputs.{name}: classification must be a whole number of at least 1")
    return count


def classify(name: str, answer: Mapping[str, list], count: int) -> dict[str, Any]:
    """Render the most probable classes of each row as a tensor of texts `probability:index:class`.

    Args:
        name: the output that is wanted.
        answer: predictions by column.
        count: classes of each row; all of them if there are fewer.

    Raises:
        BadRequest: the output has no classes.
    """
    probabilities = class_probabilities(answer)
    if name != PREDICTION or not probabilities:
        raise BadRequest(f"outputs.{name}: has no classes; {PREDICTION} has them, for models that tell classes apart")
    classes = list(probabilities)
    texts = []
    for row in zip(*probabilities.values(), strict=True):
        best = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:count]
        texts += [f"{row[at]!r}:{at}:{classes[at]}" for at in best]
    count = min(count, len(classes))
    return {"name": name, "datatype": "BYTES", "shape": [len(answer[SCORE]), count], "data": texts}


def class_probabilities(answer: Mapping[str, list]) -> dict[str, list[float]]:
    """Return the probabilities of each class; empty for a model without classes."""
    of_class = {
        column.removeprefix(PROBABILITY): values for column, values in answer.items() if column.startswith(PROBABILITY)
    }
    if of_class or not all(type(value) is bool for value in answer[PREDICTION]):
        return of_class
    return {"false": [1 - score for score in answer[SCORE]], "true": answer[SCORE]}
