"""Notices as JSON objects, for a program of one's own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from ml_assets.notifications.channel import TIMEOUT_S
from ml_assets.notifications.channels.web_post import declared_url, post_json
from ml_assets.notifications.notice import Notice

WEBHOOK = "ML_ASSETS_NOTIFY_WEBHOOK"


@dataclass(frozen=True)
class WebhookChannel:
    """POSTs the notice as one JSON object."""

    url: str = field(repr=False)
    timeout_s: float = TIMEOUT_S
    name: str = "webhook"

    variables: ClassVar[Mapping[str, str]] = {WEBHOOK: "address that gets one JSON object per notice"}

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self | None:
        url = declared_url(variables, WEBHOOK)
        return None if url is None else cls(url)

    def send(self, notice: Notice) -> None:
        content: dict[str, Any] = {
            "kind": notice.kind,
            "subject": notice.subject,
            "text": notice.text,
            "facts": notice.facts,
        }
        if notice.alert is not None:
            content["alert"] = asdict(notice.alert)
        post_json(self.url, content, self.timeout_s)
