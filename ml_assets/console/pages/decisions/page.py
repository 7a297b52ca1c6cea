"""Decisions: the list, one of them with its evidence, and a person's answer to one that waits."""

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ml_assets.console.links import Link
from ml_assets.console.pages.decisions.evidence import read_decision
from ml_assets.console.pages.decisions.read import KINDS, DecisionFilter, list_decisions, read_list
from ml_assets.console.rendering import path_of, render
from ml_assets.modelling.promotion import answer_challenger
from ml_assets.registry.decisions import NotWaiting, describe_not_waiting

ANSWERS = {"approve": True, "refuse": False}


def show_decisions(request: Request) -> Response:
    """List decisions, the newest first, by model, kind, outcome and time."""
    given = request.query_params
    wanted = read_wanted(given)
    found = list_decisions(request.app.state.stores, wanted)
    filters = {name: given.get(name, "") for name in ("model", "kind", "outcome", "since", "until")}
    return render(request, "decisions/list.html", decisions=found, filters=filters, kinds=KINDS, page=wanted.page)


def show_decision(request: Request) -> Response:
    """Show a decision with its evidence."""
    decision = read_decision(request.app.state.stores, request.path_params["id"])
    return render(request, "decisions/decision.html", decision=decision, needs_name=not request.state.key)


def answer_decision(request: Request) -> Response:
    """Approve or refuse the version that waits, as the person who sends the form."""
    stores, form = request.app.state.stores, request.state.form
    row = read_decision(stores, request.path_params["id"]).row
    answer, by = form.get("answer", ""), name_person(form.get("by", ""), request.state.key)
    if answer not in ANSWERS:
        raise HTTPException(400, f"answer: {answer!r} is neither approve nor refuse")
    if not by:
        raise HTTPException(400, "by: say who decides")
    if not row["waits"]:
        why = row["version"] and describe_not_waiting(stores.lake, row["model"], row["version"])
        raise HTTPException(409, why or f"{row['about']} of {row['model']} does not wait for approval")
    try:
        made = answer_challenger(
            stores.lake, stores.registry, row["model"], row["version"],
            approve=ANSWERS[answer], by=by, because=form.get("because"), decided_at=stores.clock(),
        )  # fmt: skip
    except NotWaiting as error:
        raise HTTPException(409, str(error)) from error
    return RedirectResponse(path_of("decisions", made.id), 303)


def read_wanted(given: Mapping[str, str]) -> DecisionFilter:
    """Read which decisions are wanted from a query.

    Raises:
        HTTPException: a moment, the kind or the page cannot be read (400).
    """
    kind, page = given.get("kind", ""), given.get("page", "1")
    if kind and kind not in KINDS:
        raise HTTPException(400, f"kind: {kind!r} is none of {', '.join(KINDS)}")
    if not (page.isascii() and page.isdigit() and int(page[:9]) > 0 and len(page) < 9):
        raise HTTPException(400, f"page: {page!r} is no number from 1 on")
    since, until = (_moment(name, given.get(name, "")) for name in ("since", "until"))
    return DecisionFilter(given.get("model", ""), kind, given.get("outcome", ""), since, until, int(page))


def name_person(typed: str, key: str) -> str:
    """Return who decides: the name that is typed, and the key that the request is let in by, which proves more."""
    typed = " ".join(typed.split())
    if not key:
        return typed
    return f"{typed} (key {key})" if typed and typed != key else key


def _moment(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # a zone may move it out of all years
        raise HTTPException(400, f"{name}: {text!r} is no date: write one such as 2024-01-31") from None


ROUTES = [
    Route("/decisions", show_decisions),
    Route("/decisions/{id}", show_decision),
    Route("/decisions/{id}", answer_decision, methods=["POST"]),
]
LINKS = [Link("Decisions", "/decisions", 50)]
WARM = read_list
