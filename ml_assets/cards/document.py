"""A document as its parts, however it is written down: sections of sentences, lists and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

NOT_STATED = "not stated"
"""What a card says of what nobody has declared and nothing has recorded."""


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    kind: ClassVar[str] = "points"
    items: tuple[str, ...]


@dataclass(frozen=True)
class TextTable:
    """A table: headings, and rows of as many texts."""

    kind: ClassVar[str] = "table"
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> "TextTable":
        """Make a table of values as people are shown them."""
        return cls(tuple(headings), tuple(tuple(_text(value) for value in row) for row in rows))


@dataclass(frozen=True)
class Statement:
    """What people say about something, after the name of it; None where nobody does."""

    kind: ClassVar[str] = "statement"
    name: str
    text: str | None

    @property
    def shown(self) -> str:
        return self.text or NOT_STATED


Block = Paragraph | Points | TextTable | Statement


@dataclass(frozen=True)
class Section:
    """A heading, what the law calls it, and what there is to say.

    Attributes:
        law: points of the law that ask for it, as `Annex IV(2)(d)`.
    """

    title: str
    law: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the statements that nobody has made."""
        return tuple(block.name for block in self.blocks if isinstance(block, Statement) and not block.text)


@dataclass(frozen=True)
class Document:
    """A title, what it is about in one line, and sections."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]


def shown(value: float | None) -> str:
    """Return a number as people are shown it; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return shown(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
