"""What every request passes: the name that it calls, its key, its origin, and the headers of what it is answered."""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.console.access.forms import read_form
from ml_assets.console.access.hosts import Hosts
from ml_assets.console.access.sessions import COOKIE, BrowserSession, Sessions
from ml_assets.serving.access.admission import Admission, credential
from ml_assets.serving.errors import BadRequest

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: scripts are files of the console alone; plotly.js writes styles into elements."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" browsers send forms with an Origin of null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of each answer that does not say otherwise itself."""

SIGN_IN = "/sign-in"
_READS = ("GET", "HEAD")
_MISDIRECTED = 421


class Guard:
    """Lets requests through to the pages.

    A request that changes something needs the scope `admin`, the token of its session's forms, and an Origin that is
    the console's own; its fields are in ``request.state.form``, and the name of its key is in ``request.state.key``.
    """

    def __init__(self, app: ASGIApp, admission: Admission, hosts: Hosts, sessions: Sessions) -> None:
        self._app = app
        self._admission = admission
        self._hosts = hosts
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        send = _with_headers(send)
        state = scope.setdefault("state", {})
        try:
            self._check_host(request)
            session = self._sessions.find(request.cookies.get(COOKIE))
            state |= {"csrf": self._sessions.token(session), "session": session, "signed_in": session is not None}
            state["key"] = self._admit(request, session)
            if request.method not in _READS:
                await self._check_write(request, receive, session, state)
        except BadRequest as refused:
            await self._refuse(request, refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host")
        if not self._hosts.knows(host):
            raise BadRequest(f"this console is not {host!r}: `ml-assets console --name` names it so", _MISDIRECTED)

    def _admit(self, request: Request, session: BrowserSession | None) -> str:
        """Return the name of the key that a request is let in by."""
        path = request.scope["path"]  # as routes match it: an address holds what a client writes as its Host, too
        if path == SIGN_IN or path.startswith("/static/"):
            return ""
        self._admission.look()
        given = credential(request.scope["headers"]) or (session.authorization if session else "")
        return self._admission.admit(given, "read" if request.method in _READS or path == "/sign-out" else "admin")

    async def _check_write(
        self, request: Request, receive: Receive, session: BrowserSession | None, state: MutableMapping[str, Any]
    ) -> None:
        origin, host = request.headers.get("origin"), request.headers.get("host")
        if origin is not None and not self._hosts.same_origin(origin, host):
            raise BadRequest(f"a page of {origin} must not send this", 403)
        form = await read_form(request, receive)
        state["form"] = form
        # A header with a key is sent by no browser of its own accord, whichever site asks it to.
        if "authorization" not in request.headers and not self._sessions.is_token(form.get("csrf", ""), session):
            raise BadRequest("the form is of an earlier session: load its page again, and send it from there", 403)

    def _refuse(self, request: Request, refused: BadRequest) -> Response:
        headers = dict(refused.headers)
        wants_page = "text/html" in request.headers.get("accept", "")
        if refused.status == 401 and request.method in _READS and wants_page:
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"{SIGN_IN}?next={quote(asked, safe='')}", 303)
        return PlainTextResponse(f"{refused}\n", refused.status, headers)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
