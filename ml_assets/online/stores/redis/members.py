"""What the members of Redis' sets stand for."""

import orjson

from ml_assets.online.stores.records import PushedRow, Stored

HEADER = "header"
"""Field of a running state beside those of its leaves."""

PARTS = ("moments", "facts", "state")
"""What is kept of each entity of a build."""

# The list of a build's entities, as it says what the store must have of them: a key may be thrown away. An entity alone
# has facts and moments of the build, the others what pushes have made.
WHOLE = ""
"""Member of each list since it was begun: a list that was thrown away, and begun anew by a push, lacks it."""
PUSHED, RUNNING = "pushed ", "state "
"""What stands before an entity of which facts were pushed, and which has a running state."""

NOTHING = ""
"""The one moment of an entity without values at any."""


def entity_of(member: str) -> str:
    """Return the entity that a member of the list is about; empty for none."""
    return member.removeprefix(PUSHED).removeprefix(RUNNING)


def moment_member(moment: int, seq: int | None, values: str) -> str:
    """Return values from a moment on; the moment is in it so that equal values at two moments are two members."""
    return f"{moment} [{seq},{values}]" if values else f"{moment} [{seq}]"


def stored_values(build: bytes, valid_until: bytes, member: bytes | None, unseen: bytes) -> Stored:
    """Return what is read of an entity; without a member it is unseen."""
    seq, *kept = orjson.loads(unseen if member is None else member.partition(b" ")[2])
    end = int(valid_until) if valid_until else None
    if not kept:
        return Stored([], None, end, build.decode(), seq, seen=True, ready=False)
    known_at, *values = kept
    # An entity that updates left as it was has no facts of those pushed before them.
    seq = max(seq, int(unseen[1 : unseen.index(b",")]))
    return Stored(values, known_at, end, build.decode(), seq, member is not None)


def pushed_member(row: PushedRow) -> bytes:
    """Return what stands for a pushed fact."""
    api_key = [] if row.api_key is None else [row.api_key]
    return orjson.dumps([row.seq, row.arrived_at, row.known_at, row.entity, row.row, row.retracts, *api_key])


def pushed_row(member: bytes) -> PushedRow:
    """Return a pushed fact."""
    return PushedRow(*orjson.loads(member))
