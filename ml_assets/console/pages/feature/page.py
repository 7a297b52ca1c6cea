"""Routes: the list of all features, and the page of one."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.console.dagster_storage import AssetRecords
from ml_assets.console.links import Link
from ml_assets.console.pages.feature.catalogue import search
from ml_assets.console.pages.feature.charts import drift_figure, spread_figure
from ml_assets.console.pages.feature.private import private_of_project
from ml_assets.console.pages.feature.read import DriftOf, read_catalogue, read_drift, read_feature
from ml_assets.console.pages.feature.values import QUANTILES
from ml_assets.console.rendering import render
from ml_assets.console.stores import Stores

PAGE = 200
"""Features on a page."""

HEALTH_CLASS = {"drifting": "bad", "watch": "warn", "steady": "good", "not watched": ""}


def features(request: Request) -> Response:
    stores, query = request.app.state.stores, request.query_params
    text, order = query.get("q", ""), "name" if query.get("order") == "name" else "worst"
    every = read_catalogue(stores.project, drift_of=_kept_drift(stores))
    matching = search(every, text, order)
    page = int(query["page"]) if query.get("page", "").isdecimal() else 1
    pages = max(-(-len(matching) // PAGE), 1)
    page = min(max(page, 1), pages)
    return render(
        request,
        "feature/features.html",
        q=text,
        order=order,
        total=len(every),
        matching=len(matching),
        page=page,
        pages=pages,
        lines=matching[(page - 1) * PAGE : page * PAGE],
        health_class=HEALTH_CLASS,
    )


def feature(request: Request) -> Response:
    stores, named = request.app.state.stores, request.path_params
    records = AssetRecords(stores.home)
    private = private_of_project(stores.project, records)
    about = (named["view"], named["feature"], stores.clock())
    which = {"drift_of": _kept_drift(stores), "model": request.query_params.get("model", "")}
    read = read_feature(stores.project, stores.registry, records, private, *about, **which)
    return render(
        request,
        "feature/feature.html",
        feature=read,
        spread=spread_figure(read.values) if read.values else ([], {}),
        drifts=[(use, drift_figure(use.drift)) for use in read.uses if use.drift.height],
        quantiles=QUANTILES,
        kept={step.table for step in read.lineage if stores.lake.exists(step.table)},
        health_class=HEALTH_CLASS,
    )


def _kept_drift(stores: Stores) -> DriftOf:
    """Return what reads a model's newest drift report only when it has changed."""
    read = read_drift(stores.project)
    return lambda model: stores.read(("newest drift", model.name), [f"{model.name}/drift_report"], lambda: read(model))


LINKS = [Link("Features", "/features", 20)]

ROUTES = [
    Route("/features", features, name="features"),
    Route("/features/{view}/{feature:path}", feature, name="feature"),
]
