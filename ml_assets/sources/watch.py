"""What lies in a source now, and which of it the lake lacks: cheap enough to look every few seconds."""

import hashlib
from collections.abc import Mapping

from ml_assets.sources.delivery.read import blaming, list_drops, read_drops
from ml_assets.sources.drops.grains import WHOLE, has_ended
from ml_assets.sources.errors import SourceError
from ml_assets.sources.files.fetch import locate
from ml_assets.sources.files.tokens import held_tokens
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import SourceSpec

SETTLE = 2.0
"""Seconds for which a local file must have rested: a younger one may still be written."""

_OF = "\x1f"
"""Between a drop's own token and the state of what it was found in, which may say anything."""

UNREAD = "unread:"
"""Begins what stands for a delivery that cannot be read, in place of its content hash; its token follows."""


def watch(
    spec: SourceSpec, schema: Schema, before: Mapping[str, str], now: float, settle: float = SETTLE
) -> dict[str, str]:
    """Return the token of every declared drop that the source holds, in order; a changed token may be a correction.

    No row is read of files that drops do not share. What they share is looked into only if it is not as it was
    `before`: a file by its date and size, a Delta table by its version, a query by `Where.changed`. While its drops
    are not known, those of before (at first: the first declared one) stand for them, with `UNREAD` before their
    token, and it is looked into again each time.

    Args:
        before: what the last look returned; empty at first.
        now: seconds since 1970. A local file modified within `settle` seconds of it is left out.

    Raises:
        SourceError: the place cannot be reached.
    """
    drops = spec.drops
    with blaming(spec, ["all"]):
        if spec.where.file_per_drop:
            held = held_tokens(locate(spec.where), drops.names, now, settle)
            return {name: token for name, token in held.items() if drops.expects(name)}
        state = spec.reader.state(spec, now, settle)
    if state is None:
        return {}
    return {WHOLE: state} if drops.grain == WHOLE else _drops_of_shared_place(spec, schema, before, state)


def run_token(token: str) -> str:
    """Return the part of a drop's token that changes only with the drop itself."""
    return token.partition(_OF)[0]


def due_drops(
    spec: SourceSpec,
    schema: Schema,
    tokens: Mapping[str, str],
    before: Mapping[str, str],
    ingested: Mapping[str, str],
    now: float,
) -> dict[str, str]:
    """Return the content hash of the drops to ingest: those not ingested yet, and those whose content was corrected.

    A period that is not over at `now` is not due: more of it may come. Only these drops are read: those not
    ingested, and those whose token is not that of `before`. One that cannot be read is due as well, so that the
    run that ingests it says why; `UNREAD` and its token stand for its content hash.

    Args:
        tokens: what `watch` returned now, or the part of it that is of interest.
        before: what the last look returned.
        ingested: drop -> content hash in the lake. A drop that only the lake holds is not due.
        now: seconds since 1970.
    """
    drops = spec.drops
    over = {name: token for name, token in tokens.items() if has_ended(drops.grain, name, drops.time_zone, now)}
    candidates = [
        name
        for name, token in over.items()
        if name not in ingested or run_token(before.get(name, "")) != run_token(token)
    ]
    readable = [name for name in candidates if not tokens[name].startswith(UNREAD)]
    files = [[name] for name in readable] if spec.where.file_per_drop else [readable]
    hashes = {name: digest for names in files for name, digest in _hashes(spec, schema, names).items()}
    identities = {name: hashes.get(name, UNREAD + tokens[name].removeprefix(UNREAD)) for name in candidates}
    return {name: identity for name, identity in identities.items() if ingested.get(name) != identity}


def _drops_of_shared_place(spec: SourceSpec, schema: Schema, before: Mapping[str, str], state: str) -> dict[str, str]:
    # How it is cut belongs to the state: another declaration finds other drops in the same rows.
    read = spec.model_dump_json(include={"csv", "columns", "header", "null_values"})
    cut = " ".join([*(f"{key}={value}" for key, value in spec.drops), spec.where.query or "", read])
    cut = hashlib.sha256(cut.encode()).hexdigest()[:16]
    state = f"{state} cut={cut}" if state else ""
    known = {name: token for name, token in before.items() if state and token.rpartition(_OF)[2] == state}
    if known:
        return known
    try:
        return _tokens(spec, schema, state)
    except SourceError as error:
        if error.kind in ("missing file", "unreachable"):
            raise  # says nothing about the drops
        names = [name for name in before if spec.drops.expects(name)]
        return dict.fromkeys(names or [spec.drops.first], UNREAD + (state or str(error)))


def _tokens(spec: SourceSpec, schema: Schema, state: str) -> dict[str, str]:
    """Return each drop's own token if it has one, and the state of the place that they lie in."""
    with blaming(spec, ["all"]):
        states = spec.reader.drop_states(spec, schema)
    if states is None:
        return dict.fromkeys(list_drops(spec, schema), state)
    return {name: own + _OF + state for name, own in states.items() if spec.drops.expects(name)}


def _hashes(spec: SourceSpec, schema: Schema, names: list[str]) -> dict[str, str]:
    """Return content hashes of these drops of one file, without those that cannot be read."""
    while names:
        try:
            return {name: drop.content_hash for name, drop in read_drops(spec, names, schema).items()}
        except SourceError as error:
            # Another name than a drop's means that the whole file is to blame.
            names = [name for name in names if name != error.drop] if error.drop in names else []
    return {}
