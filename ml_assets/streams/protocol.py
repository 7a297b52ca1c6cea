"""What a stream is to the connector: messages in order, each with a position that can be gone back to.

The position that counts is kept in the online store, in one transaction with the facts. So a stream is always read from
a position that it is given, and what it keeps itself is for those who look at it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Offset = tuple[int, ...]
"""Where a message lies within its part of a stream; a later one is greater."""

Position = Mapping[str, Offset]
"""Up to which message, itself included, each part of a stream has been read; a part that is not in it, not at all."""


class StreamUnavailable(ConnectionError):
    """A stream cannot be reached for now."""


class StreamError(RuntimeError):
    """A stream is not what it must be; waiting does not help."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        part: the part of the stream, such as a partition or a file; messages are in order within it.
        offset: its place there.
        name: what it is named, such as its topic; empty for nothing. A table may go by it.
        body: its bytes.
        sent_at: when it was sent, microseconds; None where the stream does not keep it.
    """

    part: str
    offset: Offset
    name: str
    body: bytes
    sent_at: int | None = None


class Stream(ABC):
    """A stream, used by one thread.

    A new kind is a subclass, registered in the group `ml_assets.streams` under the scheme of its URLs: it is made with
    a `StreamAddress`, and reaches for nothing before it is read. Everything but `close` raises StreamUnavailable where
    the stream cannot be reached, and StreamError where it is not what it must be.
    """

    @abstractmethod
    def check(self, position: Position) -> Sequence[str]:
        """Look whether the stream is the one that a position is of, before it is read from there.

        Returns:
            A sentence on each thing that was sent after the position and is there no more.

        Raises:
            StreamError: it ends before the position, so it was made anew.
        """

    @abstractmethod
    def read(self, position: Position, limit: int, wait: float) -> Sequence[Message]:
        """Return the next messages after a position, in order within each part.

        Args:
            limit: most messages.
            wait: how long to wait for the first, seconds; empty if none comes.
        """

    @abstractmethod
    def acknowledge(self, position: Position) -> None:
        """Show the stream how far its messages count; they are in the store already."""

    @abstractmethod
    def waiting(self, position: Position) -> int | None:
        """Count the messages after a position; None where it cannot be known."""

    @abstractmethod
    def close(self) -> None:
        """Release the connection."""


def is_passed(message: Message, position: Position) -> bool:
    """Return whether a message lies at or before a position."""
    return message.offset <= position.get(message.part, ())


def advance(position: Position, messages: Iterable[Message]) -> dict[str, Offset]:
    """Return the position after further messages."""
    reached = dict(position)
    for message in messages:
        reached[message.part] = max(message.offset, reached.get(message.part, ()))
    return reached


def is_covered(position: Position, by: Position) -> bool:
    """Return whether another position is nowhere before this one."""
    return all(offset <= by.get(part, ()) for part, offset in position.items())
