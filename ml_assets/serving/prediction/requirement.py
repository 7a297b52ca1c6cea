"""Whether what was looked up for a request is as its model requires."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ml_assets.online.lookup import Fetched, FetchedRows
from ml_assets.online.stores.records import FRESH, STALE, UNSEEN
from ml_assets.online.values.record import moment_of
from ml_assets.serving.spec import RequireSpec

_GOOD = {"fresh": frozenset((FRESH, UNSEEN)), "stale": frozenset((FRESH, UNSEEN, STALE))}

_ROUNDING = 1e-9
"""What a share of a number of look-ups may be above the whole number that it stands for."""


def _states(rows: Sequence[Fetched]) -> Iterator[tuple[str, str, int]]:
    """Yield views and states of what was looked up, and of how many rows."""
    if isinstance(rows, FetchedRows):
        return ((view, state, times) for (view, state, *_), times in rows.counted())
    return ((view, state, 1) for row in rows for view, state in row.states.items())


class Requirement:
    """What a model requires of the features of a request."""

    def __init__(self, spec: RequireSpec) -> None:
        self._spec = spec
        self._good = _GOOD[spec.state]

    def shortfall(self, rows: Sequence[Fetched]) -> str:
        """Say how what was looked up falls short; empty where it is enough.

        A view that is required and was not looked up, as the version was not trained on it, does not count.
        """
        required = self._spec.views
        states = Counter[str]()
        for view, state, times in _states(rows):
            if not required or view in required:
                states[state] += times
        met = sum(states[state] for state in self._good)
        if met >= self._spec.share * states.total() - _ROUNDING:
            return ""
        return (
            f"of {states.total()} look-ups {met} are {self._spec.state}, and {self._spec.share:g} of them must be: "
            f"{'; '.join(self._faults(rows))}"
        )

    def _faults(self, rows: Sequence[Fetched]) -> list[str]:
        """Describe the views that are not as required, each once."""
        faults: dict[str, str] = {}
        for row in rows:
            for view, state in row.states.items():
                if state not in self._good and (not self._spec.views or view in self._spec.views):
                    until = row.complete_until.get(view)
                    known = "" if until is None else f", complete until {moment_of(until).isoformat()}"
                    faults.setdefault(view, f"{view} is {state}{known}")
        return list(faults.values())
