"""What people are told."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["failure", "decision", "promotion", "rollback", "alert"]


@dataclass(frozen=True)
class AlertNotice:
    """Which alert a notice is about, for channels that keep track of alerts themselves.

    Attributes:
        key: the same for all notices of one alert.
        state: open, acknowledged or resolved.
        severity: info, warning or critical.
        subject: the model or source that it is about.
    """

    key: str
    state: str
    severity: str
    subject: str


@dataclass(frozen=True)
class Notice:
    """One thing that happened: a line that says what, a text that says why, and named facts."""

    kind: Kind
    subject: str
    text: str
    facts: dict[str, str]
    alert: AlertNotice | None = None

    @property
    def headline(self) -> str:
        """The subject on one line."""
        return " ".join(self.subject.split())

    @property
    def body(self) -> str:
        """The text, then a line per fact."""
        return "\n".join([self.text, *(f"{name}: {value}" for name, value in self.facts.items())])
