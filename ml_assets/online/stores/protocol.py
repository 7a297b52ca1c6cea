"""Where the values of entities are kept for requests: what a store does, whichever it is.

A build is staged piece by piece beside the one that is read, and published at once. Facts that are pushed change the
values of their entities in the build that is read, and are applied again to the next one unless it has them already.
All times are whole microseconds since the epoch, UTC.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ml_assets.online.values.record import Build

FRESH, UNSEEN, STALE, EXPIRED, MISSING = "fresh", "unseen", "stale", "expired", "missing"
"""What a served value is: as of the request; of an entity without facts; either of the two, but of a view of which
nothing was reported for long; too old, so null; of a view without a build at that time, so null."""


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


class EntityLost(StoreUnavailable):
    """The store has thrown away what it had of an entity."""


class OutcomeUnknown(StoreUnavailable):
    """The store was lost while it made a change, which may be made or not."""


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
        ready: whether the values are kept; where not, they are computed from the running state of the entity.
    """

    values: list[Any]
    known_at: int | None
    valid_until: int | None
    build: str
    seq: int
    seen: bool
    ready: bool = True


@dataclass(frozen=True, slots=True)
class PushedRow:
    """A pushed fact as it is kept: `row` is a JSON object of the values by column.

    Attributes:
        retracts: whether it takes such a fact back.
    """

    seq: int
    arrived_at: int
    known_at: int | None
    entity: str
    row: str
    retracts: bool = False


@dataclass(frozen=True, slots=True)
class NewRow:
    """A fact that is about to be pushed; fields as in `PushedRow`."""

    known_at: int | None
    entity: str
    row: str
    retracts: bool = False


@dataclass(frozen=True, slots=True)
class EntityChange:
    """What new facts make of an entity.

    Attributes:
        since: the moment from which its values are others.
        moments: (moment, encoded KNOWN_AT and values) from then on, as `encode_rows` gives them; "" where they are
            computed from the running state when they are read.
        seq: number of the last pushed fact in them; None for the one that is being assigned.
        header: the running state, see `online.running`; None for none.
        leaves: those of its leaves that have changed, by number.
    """

    entity: str
    since: int
    moments: Sequence[tuple[int, str]]
    seq: int | None = None
    header: str | None = None
    leaves: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What a push changes of one view."""

    built: "CurrentBuild"
    rows: Sequence[NewRow]
    entities: Sequence[EntityChange]


@dataclass(frozen=True, slots=True)
class Note:
    """A text that is kept with the facts of a push, such as the answer to a request or a position in a stream.

    Attributes:
        until: when it may be forgotten, microseconds; None for never.
    """

    key: str
    text: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was pushed and broke a rule: JSON of its values, the rules and their columns."""

    row: str
    rules: str
    columns: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one push changes, all of it or nothing.

    Attributes:
        views: at most one for each view.
        table: which the refused rows were pushed to.
        refused: rows for its quarantine.
        now: the clock by which notes are forgotten, microseconds; None for when the push arrived, which a replay says
            is another time.
    """

    views: Sequence[ViewChange] = ()
    notes: Sequence[Note] = ()
    table: str = ""
    refused: Sequence[RefusedRow] = ()
    now: int | None = None


@dataclass(frozen=True, slots=True)
class CurrentBuild:
    """The build of a view that is read.

    Attributes:
        number: the store's own for it.
        schema: Arrow schema of its facts.
    """

    build: Build
    number: int
    schema: bytes


@dataclass(frozen=True, slots=True)
class EntityState:
    """What a store has of an entity's running state.

    Attributes:
        seq: number of the last fact that was pushed since the build; None for none.
        header: None where there is none.
    """

    seq: int | None
    header: str | bytes | None


@dataclass(frozen=True, slots=True)
class StagedBuild:
    """A build that is begun, and not read yet.

    Attributes:
        number: the store's own for it.
        plan: what `stage_planned` was given.
        parts: how many times something was added to it.
        entities: of how many entities facts were added.
        moments: how many values of them.
    """

    number: int
    plan: str
    parts: int
    entities: int
    moments: int


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
Reapply = Callable[[StoreSnapshot, CurrentBuild, Sequence[PushedRow]], Sequence[EntityChange]]


class OnlineStore(ABC):
    """Values of entities by view, safe to use from any thread and process at once.

    A new kind of store is a subclass, registered in the group `ml_assets.online_stores` under the scheme of its URLs.
    Everything raises StoreUnavailable where the store cannot be reached.
    """

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
