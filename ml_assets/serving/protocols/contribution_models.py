"""Models of what each feature contributed to a prediction."""

from typing import Any

from pydantic import BaseModel

from ml_assets.serving.protocols.adapter import DescribedModel
from ml_assets.serving.protocols.fields import record
from ml_assets.training.tasks.columns import PROBABILITY


def contributions(model: DescribedModel) -> type[BaseModel]:
    """Return the type of a row's contributions, whose base and features add up to the margin; several classes have one
    each."""
    features = record(f"{model.name}_contributing", dict.fromkeys((feature.name for feature in model.features), float))
    fields: dict[str, Any] = {"base": float, "features": features}
    margin = record(f"{model.name}_margin", fields)
    classes = [name.removeprefix(PROBABILITY) for name in model.outputs if name.startswith(PROBABILITY)]
    return record(f"{model.name}_margins", dict.fromkeys(classes, margin)) if classes else margin
