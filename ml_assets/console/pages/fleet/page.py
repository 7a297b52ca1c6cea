"""The first page: every model, the one that needs attention most first."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.console.links import Link
from ml_assets.console.pages.fleet.read import read_fleet
from ml_assets.console.rendering import render


def show_fleet(request: Request) -> Response:
    """List the models."""
    stores = request.app.state.stores
    return render(request, "fleet/fleet.html", models=read_fleet(stores), faults=stores.project.faults)


ROUTES = [Route("/", show_fleet)]
LINKS = [Link("Models", "/", 0)]
