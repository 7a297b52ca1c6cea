"""Routes: sources, one source with its drops, its quarantine and the files of it, and any table."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ml_assets.console.dagster_storage import AssetRecords
from ml_assets.console.links import Link
from ml_assets.console.pages.data.download import csv_of, parquet_of
from ml_assets.console.pages.data.drops import SourceDrops, read_drops
from ml_assets.console.pages.data.quarantine import Filters, Quarantine, WrongFilter
from ml_assets.console.pages.data.read import DropsOf, read_source, read_sources
from ml_assets.console.pages.data.table import read_table
from ml_assets.console.pages.feature.private import private_of_project
from ml_assets.console.rendering import render
from ml_assets.console.stores import Stores
from ml_assets.declarations.specs import CAME_EMPTY, DeclaredSource
from ml_assets.deliveries.withheld import WITHHELD
from ml_assets.quality.gate import COLUMNS, ROW, RULES
from ml_assets.sources.spec import DROP

STATE_CLASS = {
    "in use": "good",
    "partly": "warn",
    "empty": "quiet",
    "waits": "warn",
    "withheld": "bad",
    "missing": "bad",
    "awaited": "quiet",
}
HEADING = {DROP: "drop", ROW: "row", RULES: "rules broken", COLUMNS: "columns looked at"}
"""Columns that the platform adds -> what they are called."""


def sources(request: Request) -> Response:
    stores = request.app.state.stores
    lines = read_sources(stores.project, _kept_drops(stores))
    return render(request, "data/sources.html", sources=lines, state_class=STATE_CLASS)


def table(request: Request) -> Response:
    """Show a source by its name, any other table by its asset key."""
    stores, key = request.app.state.stores, request.path_params["table"]
    records = AssetRecords(stores.home)
    private = private_of_project(stores.project, records)
    if key not in stores.project.sources:
        read = read_table(stores.project, key, records, private)
        upstream = {table for column in read.columns for table, _ in column.made_of}
        kept = {table for table in upstream if stores.lake.exists(table)}
        return render(request, "data/table.html", table=read, kept=kept)
    asked, source = request.query_params.get("drop"), stores.project.sources[key]
    read = read_source(source, _kept_drops(stores)(source), records, asked, private)
    return render(
        request, "data/source.html", source=read, selected=read.selected, asked=asked, state_class=STATE_CLASS
    )


def quarantine(request: Request) -> Response:
    stores = request.app.state.stores
    source = stores.project.sources[request.path_params["table"]]
    read, mistake = Quarantine(stores.lake, source), ""
    rules = stores.read(("rules broken", source.name), [source.table("quarantine")], read.rules)
    try:
        page = read.page(Filters.of(request.query_params), rules)
    except WrongFilter as error:
        page, mistake = read.page(Filters(), rules), str(error)
    return render(
        request,
        "data/quarantine.html",
        status=400 if mistake else 200,
        quarantine=page,
        mistake=mistake,
        query=urlencode(page.filters.query),
        heading=HEADING,
    )


def download(request: Request) -> Response:
    """Stream the rows that the filters leave, as CSV or Parquet."""
    stores, ending = request.app.state.stores, request.url.path.rpartition(".")[2]
    source = stores.project.sources[request.path_params["table"]]
    read = Quarantine(stores.lake, source)
    try:
        batches = read.batches(Filters.of(request.query_params))
    except WrongFilter as error:
        return Response(f"{error}\n", 400, media_type="text/plain")
    write, media = _FILES[ending]
    name = f"{source.name}-quarantine.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(write(batches), media_type=media, headers=headers)


def _kept_drops(stores: Stores) -> DropsOf:
    """Return what reads a source's drops when one of its tables, or the hour, has changed."""
    now = stores.clock()

    def read(source: DeclaredSource) -> SourceDrops:
        tables = [source.table(part) for part in ("raw", "validated", "quarantine", WITHHELD, CAME_EMPTY)]
        name = ("drops", source.name, f"{now:%Y-%m-%dT%H}")
        return stores.read(name, tables, lambda: read_drops(stores.lake, source, now))

    return read


_FILES = {"csv": (csv_of, "text/csv; charset=utf-8"), "parquet": (parquet_of, "application/vnd.apache.parquet")}

LINKS = [Link("Data", "/data", 30)]

ROUTES = [
    Route("/data", sources, name="data"),
    Route("/data/{table}/quarantine", quarantine, name="quarantine"),
    *(Route(f"/data/{{table}}/quarantine.{ending}", download, name=f"quarantine_{ending}") for ending in _FILES),
    Route("/data/{table:path}", table, name="table"),
]
