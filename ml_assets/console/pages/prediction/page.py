"""Routes: why a row got its score, and what would change it."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ml_assets.console.dagster_storage import AssetRecords
from ml_assets.console.links import Link
from ml_assets.console.pages.feature.private import private_of_project
from ml_assets.console.pages.prediction.query import CHANGE, PredictionQuery, WrongQuestion
from ml_assets.console.pages.prediction.read import BehindAnswer, Load, PredictionPage, Rows, read_prediction, read_rows
from ml_assets.console.pages.prediction.scored import LoggedAnswer, key_types, recent
from ml_assets.console.rendering import render
from ml_assets.console.stores import Stores
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext


def predictions(request: Request) -> Response:
    """Show the prediction that the address is about; without a key, what there is to choose from."""
    stores, pairs = request.app.state.stores, request.query_params.multi_items()
    if any(name.startswith(CHANGE) and text == "" for name, text in pairs):
        kept = [pair for pair in pairs if pair[1] != "" or not pair[0].startswith(CHANGE)]
        return RedirectResponse(f"{request.url.path}?{urlencode(kept)}", 303)
    question = PredictionQuery.of(pairs)
    if not question.model:
        return _choice(request, None, question)
    model = stores.project.context(question.model)
    if not any(question.key):
        return _choice(request, model, question)
    try:
        return _explained(request, model, question)
    except WrongQuestion as error:
        return _choice(request, model, question, str(error))


def _explained(request: Request, model: ModelContext, question: PredictionQuery) -> Response:
    stores = request.app.state.stores
    private = private_of_project(stores.project, AssetRecords(stores.home))
    read = read_prediction(
        stores.lake, model, question, _kept_models(stores, question.model), private, _kept_rows(stores)
    )
    return render(
        request,
        "prediction/prediction.html",
        status=400 if read.mistake else 200,
        prediction=read,
        **_registered(stores.registry, question.model, read),
        **_links(read),
        heading={"_drop": "drop"},
    )


def _links(read: PredictionPage) -> dict[str, Any]:
    question = read.question
    by_size = sorted(read.features, key=lambda feature: -abs(feature.contribution or 0.0))
    fixed = [pair for pair in question.parameters() if not pair[0].startswith(CHANGE)]
    return {
        "ordered": by_size,
        "largest": max((abs(feature.contribution or 0.0) for feature in read.features), default=0.0),
        "private": [feature.name for feature in read.features if feature.private],
        "hidden": fixed,
        "unchanged": urlencode(fixed),
        "other_links": [
            urlencode(question.parameters(scored=other.scored, request=other.request, drop=other.drop))
            for other in read.others
        ],
        "feature_links": {
            feature.name: urlencode(question.parameters(feature=feature.name))
            for feature in read.features
            if feature.view
        },
    }


def _registered(registry: Any, model: str, read: PredictionPage) -> dict[str, str]:
    """Return what the registry says of the version: its role, and what it was trained as of."""
    known = {version.version: version for version in registry.versions(model)}
    version = known.get(read.answer.version)
    if version is None:
        return {"role": "no longer registered", "trained_as_of": ""}
    return {"role": ", ".join(version.aliases), "trained_as_of": version.tags.get("as_of", "")[:10]}


def _choice(request: Request, model: ModelContext | None, question: PredictionQuery, mistake: str = "") -> Response:
    stores = request.app.state.stores
    known = model is not None and stores.lake.exists(model.spine.table)
    key = list(key_types(stores.lake, model)) if model is not None and known else []
    rows = recent(stores.lake, model) if model is not None and known else []
    partition = "" if model is None else model.spine.partition
    links = [
        urlencode([("model", question.model), *(("key", _text(row[name])) for name in key), ("drop", row[partition])])
        for row in rows
    ]
    return render(
        request,
        "prediction/predictions.html",
        status=404 if mistake else 200,
        models=list(stores.project.models),
        model=question.model,
        key_columns=key,
        given=question.key,
        partition=partition,
        recent=rows,
        explain_links=links,
        mistake=mistake,
    )


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _kept_rows(stores: Stores) -> Rows:
    """Return what reads the rows behind an answer when a table that they come from has changed."""

    def rows(lake: Lake, own: ModelContext, question: PredictionQuery, answer: LoggedAnswer) -> BehindAnswer:
        tables = [own.spine.table, own.label_table, *(view.key for view in own.views)]
        tables += [view.table for view in own.views if view.table is not None]
        name = ("rows behind", question.model, question.key, answer.version, answer.drop, answer.request)
        return stores.read(name, tables, lambda: read_rows(lake, own, question, answer))

    return rows


def _kept_models(stores: Stores, model: str) -> Load:
    """Return what loads a version of a model once."""
    return lambda version: stores.read(
        ("trained", model, version), [], lambda: stores.registry.load(model, version=version)
    )


LINKS = [Link("Predictions", "/predictions", 40)]

ROUTES = [Route("/predictions", predictions, name="predictions")]
