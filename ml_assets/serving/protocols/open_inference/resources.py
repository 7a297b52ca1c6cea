"""What the Open Inference Protocol's clients read: health, the server, and what each model takes and gives."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, RootModel

from ml_assets import __version__
from ml_assets.serving.protocols.adapter import InService, Resource
from ml_assets.serving.protocols.fields import Closed
from ml_assets.serving.protocols.tensor_models import ModelMetadata, TensorMetadata, metadata

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
)


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


class ModelTensor(Closed):
    """A tensor that a model takes or gives, as Triton's configurations describe it."""

    name: str
    data_type: str
    dims: list[int]


class LatestVersions(Closed):
    """How many versions serve."""

    num_versions: int = 1


class VersionPolicy(Closed):
    """Which versions serve: the champion alone."""

    latest: LatestVersions = LatestVersions()


class ModelConfiguration(Closed):
    """How a model is served, in Triton's words; there is no batch dimension, as a tensor's only one is the rows."""

    name: str
    platform: str
    backend: Literal["ml_assets"] = "ml_assets"
    version_policy: VersionPolicy = VersionPolicy()
    max_batch_size: int = 0
    input: list[ModelTensor]
    output: list[ModelTensor]


class Taken(Closed):
    """How many requests there were, and how many nanoseconds they took together."""

    count: int
    ns: int


class InferenceStatistics(Closed):
    """Requests that were answered: metrics count refused ones by route, and parts of a request are not timed."""

    success: Taken


class VersionStatistics(Closed):
    """What a version has done since the server began; `last_inference` in milliseconds, 0 for none yet."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    inference_stats: InferenceStatistics


class ModelStatistics(Closed):
    """What versions have done."""

    model_stats: list[VersionStatistics]


class IndexedModel(Closed):
    """A version that serves."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class RepositoryIndex(RootModel[list[IndexedModel]]):
    """The versions that serve."""


def _configuration(versions: Sequence[InService]) -> ModelConfiguration:
    known = _metadata(versions)
    return ModelConfiguration(
        name=known.name, platform=known.platform, input=_tensors(known.inputs), output=_tensors(known.outputs)
    )


def _tensors(tensors: Sequence[TensorMetadata]) -> list[ModelTensor]:
    return [
        ModelTensor(name=each.name, data_type=f"TYPE_{each.datatype}".replace("BYTES", "STRING"), dims=[*each.shape])
        for each in tensors
    ]


def _statistics(versions: Sequence[InService]) -> ModelStatistics:
    return ModelStatistics(
        model_stats=[
            VersionStatistics(
                name=each.served.name,
                version=each.served.version,
                last_inference=each.last // 1000,
                inference_count=each.rows,
                inference_stats=InferenceStatistics(success=Taken(count=each.answers, ns=round(each.seconds * 1e9))),
            )
            for each in versions
        ]
    )


def _index(versions: Sequence[InService]) -> RepositoryIndex:
    return RepositoryIndex(
        [
            IndexedModel(
                name=each.served.name,
                version=each.served.version,
                state="UNAVAILABLE" if each.unready else "READY",
                reason=each.unready,
            )
            for each in versions
        ]
    )


def _about_server(versions: Sequence[InService]) -> ServerAbout:  # noqa: ARG001
    return ServerAbout(name="ml_assets", version=__version__, extensions=[*EXTENSIONS])


def _metadata(versions: Sequence[InService]) -> ModelMetadata:
    served = versions[0].served
    return metadata(served.name, [served.version], served.predictor)


def _model_ready(versions: Sequence[InService]) -> ModelReady:
    return ModelReady(name=versions[0].served.name, ready=True)


def _of_version(
    rest: str,
    summary: str,
    response: type[BaseModel],
    render: Callable[[Sequence[InService]], BaseModel],
    *,
    ready: bool = False,
) -> Iterator[Resource]:
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        yield Resource(base + rest, summary, response, render, ready=ready)


RESOURCES = (
    Resource("/v2", "What the server is", ServerAbout, _about_server),
    Resource("/v2/health/live", "Whether the server runs", Live, lambda _: Live(live=True), open=True),
    Resource(
        "/v2/health/ready", "Whether the server answers", Ready, lambda _: Ready(ready=True), open=True, ready=True
    ),
    Resource("/v2/repository/index", "The versions that serve", RepositoryIndex, _index, method="POST"),
    # Before the paths that name a model, as no model's name is this.
    Resource("/v2/models/stats", "What all versions have done", ModelStatistics, _statistics),
    *_of_version("/config", "How {model} is served", ModelConfiguration, _configuration),
    *_of_version("/stats", "What {model} has done", ModelStatistics, _statistics),
    *_of_version("", "What {model} takes and gives", ModelMetadata, _metadata),
    *_of_version("/ready", "Whether {model} is ready", ModelReady, _model_ready, ready=True),
)

LOGGING = "what is logged is set when the server starts: ML_ASSETS_LOG_FORMAT"
LOADING = "models are not loaded and unloaded here: the champion of the registry serves, promote another version"
MEMORY = "there is no shared memory here: send and receive the values"
TRACING = "requests are not traced by this protocol: set OTEL_EXPORTER_OTLP_ENDPOINT to trace each as a span"

REFUSED = {
    "/v2/repository/models/{model}/load": LOADING,
    "/v2/repository/models/{model}/unload": LOADING,
    "/v2/trace/setting": TRACING,
    "/v2/models/{model}/trace/setting": TRACING,
    "/v2/logging": LOGGING,
    **{
        f"/v2/{kind}sharedmemory/{rest}": MEMORY
        for kind in ("system", "cuda")
        for rest in (
            "status",
            "unregister",
            "region/{name}/status",
            "region/{name}/register",
            "region/{name}/unregister",
        )
    },
}
