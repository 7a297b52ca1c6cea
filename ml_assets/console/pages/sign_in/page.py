"""Signing in with a key, which is sent once; and out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ml_assets.console.access.sessions import COOKIE, LASTS
from ml_assets.console.rendering import render
from ml_assets.serving.errors import BadRequest


def show_form(request: Request) -> Response:
    """Show the form that takes a key."""
    return render(request, "sign_in/sign_in.html", next=_local(request.query_params.get("next", "/")), refused="")


def sign_in(request: Request) -> Response:
    """Begin a session where the key may read."""
    form, state = request.state.form, request.app.state
    target, authorization = _local(form.get("next", "/")), f"Bearer {form.get('key', '').strip()}"
    try:
        state.admission.admit(authorization, "read")
    except BadRequest as refused:
        why = "This key is not known." if refused.status == 401 else str(refused)
        return render(request, "sign_in/sign_in.html", refused.status, next=target, refused=why)
    if request.state.session is not None:
        state.sessions.end(request.state.session)
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        COOKIE,
        state.sessions.begin(authorization),
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def sign_out(request: Request) -> Response:
    """End the session."""
    if request.state.session is not None:
        request.app.state.sessions.end(request.state.session)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _local(target: str) -> str:
    """Return a path of this console; `/` for what would lead elsewhere."""
    plain = target.startswith("/") and not target.startswith("//") and "\\" not in target
    return target if plain and target.isprintable() else "/"


ROUTES = [
    Route("/sign-in", show_form),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]
