"""The first page: every model, the one that needs attention most first."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.console.links import Link
from ml_assets.console.pages.fleet.attention import STATES
from ml_assets.console.pages.fleet.read import ModelFilters, read_fleet
from ml_assets.console.rendering import render


def show_fleet(request: Request) -> Response:
    """List the models that the filters in the address take."""
    stores, asked = request.app.state.stores, request.query_params
    filters = ModelFilters(*(asked.get(name, "").strip() for name in ("owner", "tag", "state", "text")))
    fleet = read_fleet(stores, filters)
    return render(
        request, "fleet/fleet.html", fleet=fleet, filters=filters, states=STATES, faults=stores.project.faults
    )


ROUTES = [Route("/", show_fleet)]
WARM = read_fleet
LINKS = [Link("Models", "/", 0, below="/models")]
