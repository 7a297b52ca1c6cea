"""Where the values of entities are kept for requests: what a store does, whichever it is.

A build is staged piece by piece beside the one that is read, and published at once. Facts that are pushed change the
values of their entities in the build that is read, and are applied again to the next one unless it has them already.
All times are whole microseconds since the epoch, UTC.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ml_assets.online.values.record import Build

FRESH, UNSEEN, EXPIRED, MISSING = "fresh", "unseen", "expired", "missing"
"""What a served value is: as of the request; of an entity without facts; too old, so null; of a view without a build
at that time, so null."""


class NoBuild(LookupError):
    """A view has no build in the store."""

    def __init__(self, view: str) -> None:
        super().__init__(f"feature view {view!r} has no build in the online store: materialize online/{view} first")


class OtherDeclaration(NoBuild):
    """The build of a view that is in the store was made by another declaration than the one that asks."""

    def __init__(self, view: str) -> None:
        LookupError.__init__(
            self,
            f"the online store was built by another declaration of feature view {view!r}: materialize online/{view} "
            "again, and start what reads it again",
        )


class StaleBuild(RuntimeError):
    """A newer build of the view was published while this one was being made."""

    def __init__(self, view: str) -> None:
        super().__init__(f"a newer build of feature view {view!r} was published while this one was made: build again")


class StoreUnavailable(ConnectionError):
    """The store cannot be reached, or answers that it cannot do what was asked."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a read finds for one view and entity.

    Attributes:
        values: of the view's stored features, in order.
        known_at: when the newest fact behind them was known; None for none.
        valid_until: the end of the build; None for never.
        build: identifies the build, and at its end the declaration that it was made by.
        seq: number of the last pushed fact that the values include.
        seen: whether the build has facts of the entity.
    """

    values: list[Any]
    known_at: int | None
    valid_until: int | None
    build: str
    seq: int
    seen: bool


@dataclass(frozen=True, slots=True)
class PushedRow:
    """A pushed fact as it is kept: `row` is a JSON object of the values by column."""

    seq: int
    arrived_at: int
    known_at: int | None
    entity: str
    row: str


@dataclass(frozen=True, slots=True)
class NewRow:
    """A fact that is about to be pushed; fields as in `PushedRow`."""

    known_at: int | None
    entity: str
    row: str


@dataclass(frozen=True, slots=True)
class EntityMoments:
    """The values of an entity from `since` on: moment and encoded KNOWN_AT and values, as `encode_rows` gives them.

    Attributes:
        seq: number of the last pushed fact in them; None for the one that is being assigned.
    """

    entity: str
    since: int
    moments: Sequence[tuple[int, str]]
    seq: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """What the values of some entities are computed from.

    Attributes:
        build: the build that is read.
        number: the store's own for it.
        schema: Arrow schema of `facts`.
        facts: entity -> the facts of the build, an Arrow record batch; without entities that the build has not seen.
        pushed: facts of these entities that were pushed since.
    """

    build: Build
    number: int
    schema: bytes
    facts: Mapping[str, bytes]
    pushed: Sequence[PushedRow]


class OnlineStore(ABC):
    """Values of entities by view, safe to use from any thread and process at once.

    A new kind of store is a subclass, registered in the group `ml_assets.online_stores` under the scheme of its URLs.
    Everything raises StoreUnavailable where the store cannot be reached.
    """

    @abstractmethod
    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        """Read the values of (view, entity) at a moment, in one round trip; None where no build covers that moment.

        A build that has expired is given all the same: `valid_until` tells.
        """

    @abstractmethod
    def build(self, view: str) -> Build | None:
        """Return the build that is read; None if the view has none."""

    @abstractmethod
    def schema(self, view: str) -> bytes:
        """Return the Arrow schema of the facts of the build that is read; raises NoBuild."""

    @abstractmethod
    def stage(self, view: str, max_age: timedelta | None) -> int:
        """Begin a build beside the one that is read; gives its number.

        Args:
            max_age: how long its values are served; None for ever.
        """

    @abstractmethod
    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
    ) -> None:
        """Add to a staged build: facts of entities, and (entity, moment, encoded values) with pushed facts to `seq`.

        Raises:
            StaleBuild: one that was begun later is read already.
        """

    @abstractmethod
    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Callable[[Snapshot], Sequence[EntityMoments]],
    ) -> None:
        """Publish a staged build, in one step: it is read from now on.

        Args:
            unseen: encoded values of an entity without facts.
            schema: of the facts that were added.
            reapply: computes the values that facts change which were pushed after `build.pushed_seq`.

        Raises:
            StaleBuild: one with more pushed facts, or begun later, is read already.
        """

    @abstractmethod
    def snapshot(self, view: str, entities: Sequence[str]) -> Snapshot:
        """Return the facts that the store has of some entities; raises NoBuild."""

    @abstractmethod
    def apply(
        self, snapshot: Snapshot, rows: Sequence[NewRow], arrived_at: int, changes: Sequence[EntityMoments]
    ) -> int | None:
        """Store pushed facts and publish their entities' new values, both or neither.

        Returns:
            The number of the last fact; None, with nothing changed, if the snapshot is not what is so any more.
        """

    @abstractmethod
    def pushed_since(self, view: str, seq: int) -> list[PushedRow]:
        """Return the pushed facts after number `seq` that the store still holds, in order."""

    @abstractmethod
    def close(self) -> None:
        """Release the connections, when nobody uses the store any more."""
