"""Where the values of entities are kept for requests: what a store does, whichever it is.

A build is staged piece by piece beside the one that is read, and published at once. Facts that are pushed change the
values of their entities in the build that is read, and are applied again to the next one unless it has them already.
All times are whole microseconds since the epoch, UTC.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar

from ml_assets.online.stores.records import (
    Change,
    CurrentBuild,
    EntityChange,
    EntityState,
    PushedRow,
    RefusedRow,
    StagedBuild,
    Stored,
)
from ml_assets.online.values.record import Build


class StoreSnapshot(ABC):
    """A store at one moment: what a change is decided from holds until it is made."""

    @abstractmethod
    def built(self, view: str) -> CurrentBuild | None:
        """Return the build of a view that is read; None for none."""

    @abstractmethod
    def states(self, number: int, entities: Sequence[str], *, whole: bool = False) -> dict[str, EntityState]:
        """Return the running states of entities in a build.

        Args:
            whole: whether all leaves will be read, with nothing changed after it.
        """

    @abstractmethod
    def leaves(self, number: int, entity: str, leaves: Sequence[int]) -> Mapping[int, str | bytes]:
        """Return leaves of an entity's running state, by number."""

    @abstractmethod
    def facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        """Return the facts that a build has of entities, an Arrow record batch each; without entities it has not
        seen."""

    @abstractmethod
    def pushed(self, view: str, entities: Sequence[str]) -> list[PushedRow]:
        """Return the facts of entities that were pushed since the build, in order."""

    @abstractmethod
    def note(self, key: str) -> str | None:
        """Return the text of a note; None for none."""


Decide = Callable[[StoreSnapshot], Change]


@dataclass(eq=False)
class WantedChange:
    """A change that is wanted, and what became of it.

    Attributes:
        last: the numbers of its last facts; None while it is not made.
        error: why it is not made.
        done: whether it is made, or given up.
    """

    decide: Decide
    arrived_at: int
    last: list[int] | None = None
    error: Exception | None = None
    done: bool = False

    def result(self) -> list[int]:
        """Return the numbers of its last facts once it is done; raises what kept it from being made."""
        if self.error is not None:
            raise self.error
        if self.last is None:
            raise RuntimeError("a change that was to be made with others was given up with them: try again")
        return self.last


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class PreparedPush(Generic[Answer]):
    """A push that is to be made, alone or with others.

    Attributes:
        decide: says what to change.
        arrived_at: when the facts came, microseconds.
        answer: gives what is answered once that is made; takes the numbers that the store gave.
    """

    decide: Decide
    arrived_at: int
    answer: Callable[[Sequence[int]], Answer]


Reapply = Callable[[StoreSnapshot, CurrentBuild, Sequence[PushedRow]], Sequence[EntityChange]]


class OnlineStore(ABC):
    """Values of entities by view, safe to use from any thread and process at once.

    A new kind of store is a subclass, registered in the group `ml_assets.online_stores` under the scheme of its URLs.
    Everything raises StoreUnavailable where the store cannot be reached.
    """

    updated_at_once: ClassVar[int | None] = None
    """Entities beyond which a build computes all, as putting more in place would hold up who reads; None for any."""

    changes_together: ClassVar[bool] = False
    """Whether changes that wait are made in one transaction, see `change_all`."""

    @property
    def generation(self) -> int:
        """How many other stores were met at the same address so far: what was read before such a change is void."""
        return 0

    @abstractmethod
    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        """Read the values of (view, entity) at a moment, in one round trip; None where no build covers that moment, and
        where the store has thrown away what it had of the entity.

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

    def updates(self, view: str, max_age: timedelta | None) -> bool:  # noqa: ARG002
        """Return whether the build that is read can be updated in place, see `stage_planned`."""
        return False

    def stage_planned(
        self,
        view: str,
        max_age: timedelta | None,
        plan: str,  # noqa: ARG002
        base: CurrentBuild | None = None,
    ) -> int:
        """Begin a build as `stage` does, which another process may go on with; gives its number.

        Args:
            plan: kept with it as long as it is staged.
            base: the build that is read, for an update of it: when it is published, the entities that facts were added
                of take the place of those there, and are no more where their facts are b""; all others stay.
        """
        if base is not None:
            raise NotImplementedError("this store makes builds of all entities only")
        return self.stage(view, max_age)

    def unfinished(self, view: str) -> StagedBuild | None:  # noqa: ARG002
        """Return the build that was begun last with a plan and is not read yet; None for none, or where none is
        kept."""
        return None

    @abstractmethod
    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
        part: int | None = None,
    ) -> None:
        """Add a part to a staged build, all of it or nothing: facts of entities, and (entity, moment, encoded values)
        with pushed facts to `seq`.

        Args:
            part: which, from 0, of a build that was begun with a plan. Where plans are kept, it is refused unless all
                before it are there, and it is not: another process makes the same build.

        Raises:
            StaleBuild: one that was begun later is read already, or another process makes the same one.
        """

    @abstractmethod
    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> Build | None:
        """Publish a staged build, in one step: it is read from now on.

        Args:
            build: its record; of an update `entities` counts those that were computed and have facts.
            unseen: encoded values of an entity without facts.
            schema: of the facts that were added.
            reapply: computes the values that facts change which were pushed after `build.pushed_seq`.

        Returns:
            The record as it is kept, of an update with all entities counted; None where it is as it was given.

        Raises:
            StaleBuild: one with more pushed facts, or begun later, is read already; or the one to update is not.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[StoreSnapshot]:
        """Look at the store as it is at one moment."""

    def notes(self, keys: Sequence[str]) -> list[str | None]:
        """Return the texts of notes, None for none; requests read them, so it is to be one round trip."""
        with self.reading() as reading:
            return [reading.note(key) for key in keys]

    @abstractmethod
    def change(self, decide: Decide, arrived_at: int) -> list[int]:
        """Make a change, all of it or nothing.

        Args:
            decide: says what to change; it may be called again, if somebody else changes what it has read.
            arrived_at: when the facts of the change came, microseconds; notes that end by then are forgotten.

        Returns:
            For each view of the change the number of its last fact.

        Raises:
            Whatever `decide` raises, then nothing is changed.
            OutcomeUnknown: the store was lost before it said whether the change is made.
        """

    def change_all(self, wanted: Sequence[WantedChange]) -> None:
        """Make changes in their order, each as `change` does; what became of them is in them.

        Where `changes_together`, they wait for the disk once: all that waits is one transaction, in which each of them
        is whole or not at all, and none is done before it is committed.
        """
        raise NotImplementedError("this store makes one change at a time")

    @abstractmethod
    def refused_since(self, table: str, seq: int) -> list[tuple[int, int, RefusedRow]]:
        """Return the refused rows of a table after number `seq`, in order: number, moment (microseconds) and row."""

    def forget_refused(self, table: str, seq: int) -> None:  # noqa: B027 - a store that has room may keep them
        """Forget the refused rows of a table up to number `seq`, which lie elsewhere by now; the others keep theirs."""

    @abstractmethod
    def pushed_since(self, view: str, seq: int) -> list[PushedRow]:
        """Return the pushed facts after number `seq` that the store still holds, in order."""

    @abstractmethod
    def renumber(self, view: str, beyond: int, seqs: Sequence[int]) -> None:
        """Let the next numbers of a view's facts be greater than `beyond`, and give such to some that are there, in one
        step: a store that was put back from a backup would use numbers again.

        Args:
            seqs: numbers of facts, in order; those that are not there any more are passed over.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connections, when nobody uses the store any more."""
