"""The card of a version: as a page, and to be kept as a file."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.cards.sections import card_document
from ml_assets.console.pages.card.read import read_model_card
from ml_assets.console.rendering import render

_FILES = {
    "html": ("text/html; charset=utf-8", "html", lambda card: card.to_html()),
    "markdown": ("text/markdown; charset=utf-8", "md", lambda card: card.to_markdown()),
}
"""What a card is kept as -> type, ending, and what writes it."""


def show_card(request: Request) -> Response:
    """Show the card of a version, or send it as a file."""
    model, version = request.path_params["model"], request.path_params["version"]
    card = read_model_card(request.app.state.stores, model, version)
    wanted = request.query_params.get("file", "")
    if not wanted:
        return render(request, "card/card.html", card=card, document=card_document(card))
    if wanted not in _FILES:
        raise HTTPException(400, f"file: {wanted!r} is none of {', '.join(_FILES)}")
    kind, ending, write = _FILES[wanted]
    name = f"{card.model}-{card.version}.{ending}"
    return Response(write(card), media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


ROUTES = [Route("/models/{model}/card/{version}", show_card)]
