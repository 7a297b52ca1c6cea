"""The console as an ASGI app."""

import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from ml_assets.console import static_files
from ml_assets.console.access.guard import HEADERS, Guard
from ml_assets.console.access.hosts import Hosts
from ml_assets.console.access.sessions import Sessions
from ml_assets.console.discovery import Pages, find_pages
from ml_assets.console.rendering import render
from ml_assets.console.stores import Stores
from ml_assets.lake import TableMissing
from ml_assets.public.unknown import UnknownName
from ml_assets.serving.access.admission import Admission

log = logging.getLogger(__name__)

_TITLES = {400: "That cannot be answered", 403: "Not allowed", 404: "There is no such page", 500: "That went wrong"}


def make_app(stores: Stores, admission: Admission, host: str = "127.0.0.1", named: Sequence[str] = ()) -> Starlette:
    """Make the app out of all pages.

    Args:
        stores: what pages read from.
        admission: which keys are let in; without any, everybody is.
        host: address that is listened on.
        named: further names under which the console is called.
    """
    pages = find_pages()
    sessions = Sessions(stores.clock)

    @asynccontextmanager
    async def reading_ahead(_app: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=_read_ahead, args=(pages, stores), name="reads ahead", daemon=True).start()
        yield

    app = Starlette(
        routes=[*static_files.ROUTES, *pages.routes],
        middleware=[Middleware(Guard, admission=admission, hosts=Hosts(host, named), sessions=sessions)],
        lifespan=reading_ahead,
        exception_handlers={
            HTTPException: _answer_error,
            UnknownName: _answer_missing,
            TableMissing: _answer_missing,
            Exception: _answer_failure,
        },
    )
    app.state.stores = stores
    app.state.links = pages.links
    app.state.admission = admission
    app.state.sessions = sessions
    return app


def _read_ahead(pages: Pages, stores: Stores) -> None:
    """Read what takes long before somebody waits for it; what fails is logged, and fails again where it is shown."""
    for read in pages.warm:
        try:
            read(stores)
        except (ValueError, LookupError, OSError) as error:
            log.warning("%s cannot be read ahead: %s", read.__module__, error)


def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = "" if error.detail == "Not Found" else error.detail
    return _error_page(request, error.status_code, detail)


def _answer_missing(request: Request, error: Exception) -> Response:
    return _error_page(request, 404, str(error))


def _answer_failure(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    answer = _error_page(request, 500, "The log of `ml-assets console` has the reason.")
    answer.headers.update(HEADERS)  # Starlette sends it from outside of the guard
    return answer


def _error_page(request: Request, status: int, detail: str) -> Response:
    title = _TITLES.get(status, "That cannot be answered")
    return render(request, "error.html", status, error=title, detail=detail, status_code=status)
