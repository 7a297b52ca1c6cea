"""TorchServe's inference API, and what its management API gives to read."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import Field, RootModel

from ml_assets.serving.prediction.messages import PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import (
    DescribedModel,
    HttpBinding,
    InService,
    Interface,
    RequestProtocol,
    Resource,
)
from ml_assets.serving.protocols.feature_forms import either, example_rows, read_rows, row_type, row_types
from ml_assets.serving.protocols.fields import Closed, output_fields, record
from ml_assets.serving.protocols.json_body import read_json_value

INSTANCES, ROWS, ROW = "instances", "rows", "row"
"""Forms of a request: KServe's envelope, a list of rows, a row alone."""


class ListedModel(Closed):
    """A model that is served, and where its registry has the version."""

    modelName: str
    modelUrl: str


class ModelList(Closed):
    """The models that are served."""

    models: list[ListedModel]


class Worker(Closed):
    """What answers: the server itself."""

    id: Literal["1"] = "1"
    status: Literal["READY"] = "READY"


class ModelDescription(Closed):
    """A version that serves."""

    modelName: str
    modelVersion: str
    modelUrl: str
    runtime: Literal["python"] = "python"
    minWorkers: int = 1
    maxWorkers: int = 1
    workers: list[Worker] = Field(default_factory=lambda: [Worker()], min_length=1, max_length=1)


class ModelDescriptions(RootModel[list[ModelDescription]]):
    """The versions of a model that serve, of which there is one."""


def _models(versions: Sequence[InService]) -> ModelList:
    return ModelList(models=[ListedModel(modelName=each.served.name, modelUrl=_url(each)) for each in versions])


def _described(versions: Sequence[InService]) -> ModelDescriptions:
    return ModelDescriptions(
        [
            ModelDescription(modelName=each.served.name, modelVersion=each.served.version, modelUrl=_url(each))
            for each in versions
        ]
    )


def _url(version: InService) -> str:
    return f"models:/{version.served.name}/{version.served.version}"


class TorchServe(RequestProtocol):
    """A row, a list of rows, or rows under `instances`: predictions come back in the same form."""

    http = HttpBinding(
        paths=("/predictions/{model}", "/predictions/{model}/{version}"),
        tag="torchserve",
        methods=("POST", "PUT"),  # PUT is what `curl -T` sends
    )
    resources = (
        Resource("/models", "The models that are served", ModelList, _models),
        Resource("/models/{model}", "The version of {model} that serves", ModelDescriptions, _described),
        Resource("/models/{model}/{version}", "This version of {model}", ModelDescriptions, _described),
    )

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse whichever of the forms the body has; NaN is a missing value."""
        content = read_json_value(body, nan=True)
        if isinstance(content, Mapping):
            if content.keys() == {INSTANCES}:
                return PredictionRequest(read_rows(INSTANCES, content[INSTANCES]), context=INSTANCES)
            return PredictionRequest(read_rows("body", [content]), context=ROW)
        return PredictionRequest(read_rows("the body", content), context=ROWS)

    def write(self, response: PredictionResponse) -> bytes:
        """Render a prediction for a row, a list for a list, and `predictions` for `instances`."""
        rows: Any = response.by_row()
        match response.request.context:
            case "row":
                return orjson.dumps(rows[0])
            case "instances":
                return orjson.dumps({"predictions": rows})
        return orjson.dumps(rows)

    def describe(self, model: DescribedModel) -> Interface:
        """Describe the forms by the model's features."""
        name, rows = model.name, row_types(model, self.limits.rows, lists=True)
        instances = record(f"{name}_torch_instances", {INSTANCES: rows})
        prediction = record(f"{name}_torch_prediction", output_fields(model.outputs))
        enveloped = record(f"{name}_torch_predictions", {"predictions": list[prediction]})
        return Interface(
            summary=f"Ask {name} as TorchServe is asked",
            description="A row, a list of rows, or an object with rows under instances.",
            request=either(f"{name}_torch_request", (row_type(model), rows, instances)),
            example=example_rows(model)[0],
            response=either(f"{name}_torch_response", (prediction, list[prediction], enveloped)),
            refusals=(400, 404, 408, 413, 503),
        )
