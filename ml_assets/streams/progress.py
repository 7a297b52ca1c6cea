"""How far a stream has been read, as it is kept in the store in one transaction with the facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from ml_assets.streams.protocol import Message, Offset, Position, advance, is_covered, is_passed


@dataclass(frozen=True)
class Progress:
    """How far a stream counts.

    A batch of messages is pushed table by table, a transaction each, so that a kill can leave some tables ahead.

    Attributes:
        position: up to which every message counts.
        ahead: table -> position up to which its own messages count too.
        messages: how many count.
        sent_at: when the newest message that counts was sent, microseconds; None where that is not known.
    """

    position: Position = field(default_factory=dict)
    ahead: Mapping[str, Position] = field(default_factory=dict)
    messages: int = 0
    sent_at: int | None = None

    def counts_already(self, message: Message, table: str) -> bool:
        """Return whether a message of a table counts."""
        return is_passed(message, self.position) or is_passed(message, self.ahead.get(table, {}))

    def after_some(self, table: str, messages: Sequence[Message]) -> "Progress":
        """Return how far it is once messages of a table count, and maybe others before them do not yet."""
        reached = advance(self.ahead.get(table, {}), messages)
        sent = [message.sent_at for message in messages if message.sent_at is not None]
        newest = max([*sent, *([] if self.sent_at is None else [self.sent_at])], default=None)
        ahead = {**self.ahead, table: reached}
        return replace(self, ahead=ahead, messages=self.messages + len(messages), sent_at=newest)

    def after_all(self, position: Position) -> "Progress":
        """Return how far it is once every message up to a position counts."""
        ahead = {table: reached for table, reached in self.ahead.items() if not is_covered(reached, position)}
        return replace(self, position=position, ahead=ahead)

    def encode(self) -> str:
        """Return it as text."""
        return orjson.dumps(
            {
                "position": self.position,
                "ahead": self.ahead,
                "messages": self.messages,
                "sent_at": self.sent_at,
            }
        ).decode()


def decode_progress(text: str | None) -> Progress:
    """Return what `encode` wrote; the beginning where nothing is kept yet."""
    if text is None:
        return Progress()
    kept = orjson.loads(text)
    ahead = {table: _position(reached) for table, reached in kept["ahead"].items()}
    return Progress(_position(kept["position"]), ahead, kept["messages"], kept["sent_at"])


def _position(kept: Mapping[str, list[int]]) -> dict[str, Offset]:
    return {part: tuple(offset) for part, offset in kept.items()}
