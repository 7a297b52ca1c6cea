"""``card``, ``approve`` and ``refuse``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_assets.commands.session import session_of

if TYPE_CHECKING:
    from ml_assets.cards.card import ModelCard


class CardFormat(StrEnum):
    """What a card is written as."""

    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"

    def render(self, card: "ModelCard") -> str:
        """Return a card in this format."""
        match self:
            case CardFormat.HTML:
                return card.to_html()
            case CardFormat.MARKDOWN:
                return card.to_markdown()
            case CardFormat.JSON:
                return card.model_dump_json(indent=2)


def card(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Declared model.")],
    version: Annotated[str, typer.Option(help="Version in the registry; default: the champion.")] = "",
    as_format: Annotated[
        CardFormat, typer.Option("--format", help="What to write: html, markdown or json.")
    ] = CardFormat.MARKDOWN,
    output: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
) -> None:
    """Write the card of one version of a model: purpose, data, features, metrics, limits, monitoring, decisions, and
    how to reproduce it, with the points of the EU AI Act's Annex IV.

    What nobody has declared or recorded is called "not stated".
    """
    from functools import partial

    from ml_assets.lake import Lake
    from ml_assets.public.project import Project

    session = session_of(context)
    home = session.open_home()
    declared, registry = session.read_declarations(model), partial(session.open_registry, home)
    project = Project(session.project.folder, declared, Lake(home.lake), registry)
    text = as_format.render(project.model(model, version or None).card())
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"{output}: the card of {model} as {as_format.value}", err=True)


Model = Annotated[str, typer.Argument(help="Declared model.")]
Version = Annotated[str, typer.Argument(help="Version that waits, as `ml-assets status` names it.")]
By = Annotated[str, typer.Option(help="Name of the person who decides, which the record keeps.")]
Because = Annotated[str, typer.Option(help="Why, which the record keeps too.")]


def approve(context: typer.Context, model: Model, version: Version, by: By, because: Because = "") -> None:
    """Let a version serve that has kept every rule and waits for approval (`promotion.approve` of its model)."""
    _answer(context, model, version, approve=True, by=by, because=because)


def refuse(context: typer.Context, model: Model, version: Version, by: By, because: Because = "") -> None:
    """Refuse a version that waits for approval, for good: the champion stays."""
    _answer(context, model, version, approve=False, by=by, because=because)


def _answer(context: typer.Context, model: str, version: str, *, approve: bool, by: str, because: str) -> None:
    from datetime import UTC, datetime

    from ml_assets.lake import Lake
    from ml_assets.modelling.promotion import answer_challenger

    session = session_of(context)
    home = session.open_home()
    made = answer_challenger(
        Lake(home.lake), session.open_registry(home), model, version,
        approve=approve, by=by, because=because, decided_at=datetime.now(UTC),
    )  # fmt: skip
    typer.echo(f"{model}: {made.reason}")
