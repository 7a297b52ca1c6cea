"""Replays: the list, and one of them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.console.links import Link
from ml_assets.console.pages.replays.read import list_replays, read_replay
from ml_assets.console.rendering import render


def show_replays(request: Request) -> Response:
    """List the replays that are kept, of all models or of one."""
    stores, model = request.app.state.stores, request.query_params.get("model", "")
    models = sorted(stores.project.models)
    return render(request, "replays/list.html", replays=list_replays(stores, model), model=model, models=models)


def show_replay(request: Request) -> Response:
    """Show a replay: its policies side by side, drop by drop."""
    replay = read_replay(request.app.state.stores, request.path_params["id"])
    return render(request, "replays/replay.html", replay=replay)


ROUTES = [Route("/replays", show_replays), Route("/replays/{id}", show_replay)]
LINKS = [Link("Replays", "/replays", 60)]
