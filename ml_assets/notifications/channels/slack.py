"""Notices in Slack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from ml_assets.notifications.channel import TIMEOUT_S
from ml_assets.notifications.channels.web_post import declared_url, post_json
from ml_assets.notifications.notice import Notice

SLACK = "ML_ASSETS_NOTIFY_SLACK"


@dataclass(frozen=True)
class SlackChannel:
    """POSTs the notice to an incoming webhook of Slack."""

    url: str = field(repr=False)
    timeout_s: float = TIMEOUT_S
    name: str = "slack"

    variables: ClassVar[Mapping[str, str]] = {SLACK: "address of a Slack incoming webhook"}

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self | None:
        url = declared_url(variables, SLACK)
        return None if url is None else cls(url)

    def send(self, notice: Notice) -> None:
        post_json(self.url, {"text": f"*{_escaped(notice.headline)}*\n{_escaped(notice.body)}"}, self.timeout_s)


def _escaped(text: str) -> str:
    """Escape the three characters with which Slack would start a link, a mention or an entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
