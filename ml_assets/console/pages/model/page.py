"""One model: its life, one of its drops, and its versions side by side."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.console.pages.fleet.attention import STATES
from ml_assets.console.pages.model.charts import HEIGHT, life_chart
from ml_assets.console.pages.model.read import read_drop, read_model_page
from ml_assets.console.pages.model.versions import compare_versions
from ml_assets.console.rendering import render

SPANS = {"60": 60, "250": 250, "all": 0}
"""Last drops that are shown, as addresses have it."""


def show_model(request: Request) -> Response:
    """Show what happened to a model over its last drops."""
    span = request.query_params.get("drops", "60")
    if span not in SPANS:
        raise HTTPException(400, f"drops: {span!r} is none of {', '.join(SPANS)}")
    page = read_model_page(request.app.state.stores, request.path_params["model"], SPANS[span])
    chart = life_chart(page.drops, page.events, page.row.metric)
    return render(
        request, "model/model.html", page=page, chart=chart, height=HEIGHT, states=STATES, span=span, spans=list(SPANS)
    )


def show_drop(request: Request) -> Response:
    """Show everything that was measured of one drop."""
    model = request.path_params["model"]
    evidence = read_drop(request.app.state.stores, model, request.path_params["drop"])
    return render(request, "model/drop.html", model=model, evidence=evidence)


def show_versions(request: Request) -> Response:
    """Show two versions side by side: those named, else the newest and the one before."""
    model, asked = request.path_params["model"], request.query_params
    right = request.path_params.get("version") or asked.get("right") or None
    compared = compare_versions(request.app.state.stores, model, asked.get("left") or None, right)
    return render(request, "model/versions.html", model=model, compared=compared)


ROUTES = [
    Route("/models/{model}", show_model),
    Route("/models/{model}/drops/{drop}", show_drop),
    Route("/models/{model}/versions", show_versions),
    Route("/models/{model}/versions/{version}", show_versions),
]
