"""Notices in Microsoft Teams."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from ml_assets.notifications.channel import TIMEOUT_S
from ml_assets.notifications.channels.web_post import declared_url, post_json
from ml_assets.notifications.notice import Notice

TEAMS = "ML_ASSETS_NOTIFY_TEAMS"


@dataclass(frozen=True)
class TeamsChannel:
    """POSTs the notice as an Adaptive Card to a workflow "When a Teams webhook request is received"."""

    url: str = field(repr=False)
    timeout_s: float = TIMEOUT_S
    name: str = "teams"

    variables: ClassVar[Mapping[str, str]] = {TEAMS: "address of a Microsoft Teams workflow that posts a card"}

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self | None:
        url = declared_url(variables, TEAMS)
        return None if url is None else cls(url)

    def send(self, notice: Notice) -> None:
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [
                _line(notice.headline, weight="Bolder", size="Medium"),
                _line(notice.text),
                *(_line(f"{name}: {value}", isSubtle=True) for name, value in notice.facts.items()),
            ],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        post_json(self.url, {"type": "message", "attachments": [attachment]}, self.timeout_s)


def _line(text: str, **look: str | bool) -> dict[str, Any]:
    """Return a line of a card as plain text: a TextBlock would read Markdown, and so links, out of names."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **look}]}
