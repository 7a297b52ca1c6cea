"""What the Open Inference Protocol's clients read: health, the server, and what each model takes and gives."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel

from ml_assets import __version__
from ml_assets.serving.protocols.adapter import InService, Resource
from ml_assets.serving.protocols.fields import Closed
from ml_assets.serving.protocols.tensor_models import ModelMetadata, metadata

EXTENSIONS = ("binary_tensor_data",)


class Live(Closed):
    """That the server runs."""

    live: Literal[True]


class Ready(Closed):
    """That the server answers."""

    ready: Literal[True]


class ModelReady(Closed):
    """That a model answers."""

    name: str
    ready: Literal[True]


class ServerAbout(Closed):
    """What the server is."""

    name: Literal["ml_assets"]
    version: str
    extensions: list[str]


def _about_server(versions: Sequence[InService]) -> ServerAbout:  # noqa: ARG001
    return ServerAbout(name="ml_assets", version=__version__, extensions=[*EXTENSIONS])


def _metadata(versions: Sequence[InService]) -> ModelMetadata:
    served = versions[0].served
    return metadata(served.name, [served.version], served.predictor)


def _model_ready(versions: Sequence[InService]) -> ModelReady:
    return ModelReady(name=versions[0].served.name, ready=True)


def _of_version(
    rest: str, summary: str, response: type[BaseModel], render: Callable[[Sequence[InService]], BaseModel]
) -> Iterator[Resource]:
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        yield Resource(base + rest, summary, response, render)


RESOURCES = (
    Resource("/v2", "What the server is", ServerAbout, _about_server),
    Resource("/v2/health/live", "Whether the server runs", Live, lambda _: Live(live=True), open=True),
    Resource(
        "/v2/health/ready", "Whether the server answers", Ready, lambda _: Ready(ready=True), open=True, ready=True
    ),
    *_of_version("", "What {model} takes and gives", ModelMetadata, _metadata),
    *_of_version("/ready", "Whether {model} is ready", ModelReady, _model_ready),
)
