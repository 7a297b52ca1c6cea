"""What stores take and give. All times are whole microseconds since the epoch, UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_assets.online.values.record import Build

FRESH, UNSEEN, STALE, EXPIRED, MISSING = "fresh", "unseen", "stale", "expired", "missing"
"""What a served value is: as of the request; of an entity without facts; either of the two, but of a view of which
nothing was reported for long; too old, so null; of a view without a build at that time, so null."""


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
        api_key: name of the key that it was pushed with; None for none, or where that is not known.
    """

    seq: int
    arrived_at: int
    known_at: int | None
    entity: str
    row: str
    retracts: bool = False
    api_key: str | None = None


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
class ViewChange:
    """What a push changes of one view."""

    built: CurrentBuild
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
    """A row that was pushed and broke a rule: JSON of its values, the rules and their columns.

    Attributes:
        api_key: as in `PushedRow`; in a change it is that of the change.
    """

    row: str
    rules: str
    columns: str
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What one push changes, all of it or nothing.

    Attributes:
        views: at most one for each view.
        table: which the refused rows were pushed to.
        refused: rows for its quarantine.
        now: the clock by which notes are forgotten, microseconds; None for when the push arrived, which a replay says
            is another time.
        api_key: name of the key that all of it is pushed with; None for none.
    """

    views: Sequence[ViewChange] = ()
    notes: Sequence[Note] = ()
    table: str = ""
    refused: Sequence[RefusedRow] = ()
    now: int | None = None
    api_key: str | None = None


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
