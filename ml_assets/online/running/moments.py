"""The values of an entity from a moment on: the next of them ready, all later ones computed when they are read."""

import orjson

from ml_assets.online.running.history import FactHistory
from ml_assets.online.running.view import RunningView

READY = 2
"""Changes that are ready ahead. A push makes them all anew, so that each costs every push of the entity; a request
behind the last one computes its values, in a fraction of a millisecond."""

COMPUTED = ""
"""Stands in place of values that are computed when they are read."""


def moments_ahead(
    running: RunningView, history: FactHistory, since: int, until: int, now: int
) -> list[tuple[int, str]]:
    """Return (moment, encoded KNOWN_AT and values) from `since` on.

    Args:
        until: the end of the build, itself outside.
        now: about when values will be read, microseconds: where many changes lie before it, those behind it are ready.

    Raises:
        FeatureError: a value is infinite, or beyond Int64.
    """
    ahead = _ready(running, history, since, until)
    now = min(now, until - 1)
    if ahead[-1][1] is COMPUTED and ahead[-1][0] <= now:
        ahead = [(since, COMPUTED), *_ready(running, history, now, until)]
    return ahead


def _ready(running: RunningView, history: FactHistory, since: int, until: int) -> list[tuple[int, str]]:
    changes, moment = running.changes_after(history, since), since
    ahead: list[tuple[int, str]] = []
    for _ in range(READY):
        text = orjson.dumps(running.values_at(history, moment))[1:-1].decode()
        if not ahead or ahead[-1][1] != text:
            ahead.append((moment, text))
        following = changes.next()
        if following is None or following >= until:
            return ahead
        moment = following
    return [*ahead, (moment, COMPUTED)]
