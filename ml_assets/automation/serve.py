"""The server's processes."""

import json
import os

from starlette.applications import Starlette

from ml_assets.home import Home

MODELS = "ML_ASSETS_SERVED"
"""Tells a worker process, which only inherits the environment, what to serve."""


def serve_models(models: list[str], host: str, port: int, workers: int) -> None:
    """Serve until interrupted; a request that is being answered is answered to its end.

    Raises:
        LookupError: a model has no champion.
        ValueError: the API keys are no digests.
    """
    import uvicorn

    os.environ[MODELS] = json.dumps(models)
    # With several workers each makes its own; what is wrong is said once, here.
    app = make_served_app() if workers == 1 else f"{__name__}:make_served_app"
    if workers > 1:
        make_served_app()
    uvicorn.run(
        app, host=host, port=port, workers=workers, factory=workers > 1, access_log=False, log_level="info",
        timeout_graceful_shutdown=10, server_header=False,
    )  # fmt: skip


def make_served_app() -> Starlette:
    """The app for the models named in the environment."""
    from ml_assets.resources import RegistryResource
    from ml_assets.serving.app import Limits, hashed_keys, make_app

    home = Home.from_environment()
    registry = RegistryResource(tracking_uri=home.mlflow, artifacts=home.mlflow_artifacts).open()
    keys = hashed_keys(os.environ.get("ML_ASSETS_API_KEYS", ""))
    return make_app(registry, json.loads(os.environ[MODELS]), Limits(keys=keys))
