"""What people are told."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["failure", "decision", "promotion", "rollback"]


@dataclass(frozen=True)
class Notice:
    """One thing that happened: a line that says what, a text that says why, and named facts."""

    kind: Kind
    subject: str
    text: str
    facts: dict[str, str]

    @property
    def headline(self) -> str:
        """The subject on one line."""
        return " ".join(self.subject.split())

    @property
    def body(self) -> str:
        """The text, then a line per fact."""
        return "\n".join([self.text, *(f"{name}: {value}" for name, value in self.facts.items())])
