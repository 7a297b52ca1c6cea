"""Experiments: the list of tries and trainings, and those of them that are chosen side by side."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.console.links import Link
from ml_assets.console.pages.experiments.read import compare, list_experiments
from ml_assets.console.rendering import render

MOST_COMPARED = 8
"""Experiments side by side: a table of more columns is not read."""


def show_experiments(request: Request) -> Response:
    """List tries and trainings; compare those that the query names, `id=..&id=..`."""
    stores, model = request.app.state.stores, request.query_params.get("model", "")
    chosen = list(dict.fromkeys(request.query_params.getlist("id")))
    if len(chosen) > MOST_COMPARED:
        raise HTTPException(400, f"{len(chosen)} experiments are named: choose {MOST_COMPARED} at most")
    return render(
        request,
        "experiments/experiments.html",
        experiments=list_experiments(stores, model),
        compared=compare(stores, chosen) if chosen else None,
        chosen=chosen,
        model=model,
        models=sorted(stores.project.models),
    )


ROUTES = [Route("/experiments", show_experiments)]
LINKS = [Link("Experiments", "/experiments", 70)]
WARM = list_experiments
