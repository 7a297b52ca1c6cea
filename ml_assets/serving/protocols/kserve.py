"""KServe's first protocol where it is more than TensorFlow Serving's: explanations, and what its clients read."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from ml_assets.serving.prediction.messages import PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import (
    DescribedModel,
    HttpBinding,
    InService,
    Interface,
    RequestProtocol,
    Resource,
)
from ml_assets.serving.protocols.contribution_models import contributions
from ml_assets.serving.protocols.feature_forms import example_rows
from ml_assets.serving.protocols.fields import Closed, output_fields, record
from ml_assets.serving.protocols.tensorflow_serving import instances_model, read_instances


class Alive(Closed):
    """That the server runs."""

    status: Literal["alive"] = "alive"


class ModelNames(Closed):
    """The models that are served."""

    models: list[str]


def _names(versions: Sequence[InService]) -> ModelNames:
    return ModelNames(models=[each.served.name for each in versions])


class KServeExplanation(RequestProtocol):
    """Rows in, and what each feature contributed to their scores out."""

    # A body goes to a thread whatever its size: contributions take milliseconds.
    http = HttpBinding(paths=("/v1/models/{model}:explain",), tag="kserve", at_once=0)
    resources = (
        Resource("/", "Whether the server runs, as KServe asks", Alive, lambda _: Alive(), open=True),
        Resource("/v1/models", "The models that are served", ModelNames, _names),
    )

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse rows or columns as for predictions."""
        _, features = read_instances(body)
        return PredictionRequest(features, contributions=True)

    def write(self, response: PredictionResponse) -> bytes:
        """Render each row's prediction and contributions."""
        (part,) = response.parts
        return orjson.dumps({"predictions": response.by_row(), "explanations": part.contributions})

    def describe(self, model: DescribedModel) -> Interface:
        """Describe rows by the model's features."""
        prediction = record(f"{model.name}_explained_prediction", output_fields(model.outputs))
        fields: dict[str, Any] = {"predictions": list[prediction], "explanations": list[contributions(model)]}
        return Interface(
            summary=f"Explain {model.name}",
            description="What each feature contributed to a row's score, in the margin's space, beside the prediction.",
            request=instances_model(model, self.limits.rows),
            example={"instances": example_rows(model)},
            response=record(f"{model.name}_explanations", fields),
            refusals=(400, 404, 408, 413, 503),
        )
