"""Up to which moment a view's facts are known to be complete, and the newest moment that anything was reported of.

A build reports its `as_of`. A push reports the moment of its newest fact, but not that there are no others: facts are
complete up to a moment only where a push, with rows or without, names it as `complete_until`. What pushes report is a
note in the store, one for each table. All moments are microseconds, None for none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

import orjson

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of
from ml_assets.freshness import Freshness
from ml_assets.online.stores.protocol import OnlineStore, StoreSnapshot
from ml_assets.online.stores.records import EXPIRED, FRESH, MISSING, STALE, Note, ViewChange
from ml_assets.online.values.record import Build, microseconds, moment_of


@dataclass(frozen=True, slots=True)
class Reported:
    """What pushes have reported of a view.

    Attributes:
        declaration: of the view when it took them, see `declaration_of`; what another reports is nothing of this one.
        complete_until: all facts known by then had been pushed.
        reported_until: the newest moment that a fact or `complete_until` was about; a fact that lies ahead counts as of
            its push.
    """

    declaration: str
    complete_until: int | None = None
    reported_until: int | None = None


@dataclass(frozen=True, slots=True)
class Reports:
    """What is known of the views of a table once a push is done.

    Attributes:
        notes: to be kept with the push; none where it reports nothing new.
        complete_until: view -> the moment up to which its facts are known to be complete.
    """

    notes: list[Note]
    complete_until: dict[str, int]


def note_reported(
    reading: StoreSnapshot,
    table: str,
    declarations: Mapping[str, str],
    changes: Sequence[ViewChange],
    *,
    builds: Iterable[Build],
    arrived_at: int,
    complete_until: int | None = None,
) -> Reports:
    """Make the note of what a push reports of the views of a table.

    Args:
        declarations: digest of each view that takes facts of the table, by name.
        changes: what the push changes of them.
        builds: of these views, that take the facts.
        complete_until: the moment up to which it says that all facts have been pushed.
    """
    before = _decode(reading.note(_key(table)))
    newest = {change.built.build.view: _newest(change, arrived_at) for change in changes}
    now = dict(before)
    for view, declaration in declarations.items():
        kept = _of_view(before, view, declaration)
        reported = Reported(
            declaration,
            _later(kept.complete_until, complete_until),
            _later(_later(kept.reported_until, newest.get(view)), complete_until),
        )
        if reported != kept:
            now[view] = reported
    complete = _complete_moments(now, builds)
    if now == before:
        return Reports([], complete)
    kept_as = {view: [each.declaration, each.complete_until, each.reported_until] for view, each in now.items()}
    return Reports([Note(_key(table), orjson.dumps(kept_as, option=orjson.OPT_SORT_KEYS).decode())], complete)


def read_complete_moments(reading: StoreSnapshot, table: str, views: Iterable[str]) -> dict[str, int]:
    """Return the moment up to which the facts of each view of a table are known to be complete, of those that have a
    build."""
    built = [current.build for view in views if (current := reading.built(view)) is not None]
    return _complete_moments(_decode(reading.note(_key(table))), built)


def _complete_moments(reported: Mapping[str, Reported], builds: Iterable[Build]) -> dict[str, int]:
    moments: dict[str, int] = {}
    for build in builds:
        of_view, as_of = reported.get(build.view), microseconds(build.as_of)
        if of_view is not None and of_view.complete_until is not None and build.is_of(of_view.declaration):
            as_of = max(as_of, of_view.complete_until)
        moments[build.view] = as_of
    return moments


@dataclass(frozen=True, slots=True)
class OfBuild:
    """What is known of a view while one build of it is read.

    Attributes:
        build: identifies the build.
        complete_until: the moment up to which its facts are known to be complete.
        stale_from: the moment from which its values are stale unless something is reported; None for always.
    """

    build: str
    complete_until: int | None
    stale_from: int | None

    def is_stale(self, at: int) -> bool:
        """Return whether its values are stale at a moment."""
        return self.stale_from is None or at >= self.stale_from


class BuildReplaced(LookupError):
    """Another build of a view was published after values of this one were read, and its moment is not known."""


_BUILDS = 4
"""Builds of a view whose moments are remembered: requests may still hold values of one that was replaced."""


class KnownMoments:
    """What a store knows of some views, kept at hand for requests: computed again only where it has changed.

    Args:
        freshness: by view, how far back the newest moment may lie that anything was reported of; others as
            `Freshness()` says.
    """

    def __init__(
        self, store: OnlineStore, views: Sequence[FeatureViewSpec], freshness: Mapping[str, Freshness]
    ) -> None:
        self._store = store
        self._tables = list(dict.fromkeys(_key(view.table or "") for view in views))
        self._views = {
            view.name: (
                self._tables.index(_key(view.table or "")),
                declaration_of(view),
                _whole(freshness.get(view.name, Freshness()).warn_after),
            )
            for view in views
        }
        self._as_of: dict[str, Mapping[str, int]] = {view.name: {} for view in views}
        self._notes: list[str | None] = []
        self._of_views: dict[str, OfBuild] = {}

    def read(self, *, again: bool = True) -> Callable[[str, str], OfBuild]:
        """Return what looks up a view and the build that its values are from, or raises BuildReplaced.

        To be called before these values are read: then no moment is later than what they rest on.

        Args:
            again: whether the values can be read again. Where not, nothing is raised: a view of a replaced build is as
                stale as the build that is read now, and complete up to what pushes have said.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        notes = self._store.notes(self._tables) if self._tables else []
        if notes != self._notes:
            self._notes, self._of_views = notes, {}
        of_views = self._of_views

        def look_up(view: str, build: str) -> OfBuild:
            known = of_views.get(view)
            if known is not None and known.build == build:
                return known
            as_of, newer = self._moment_of_build(view, build)
            if as_of is None:
                if again:
                    raise BuildReplaced(f"feature view {view!r}: build {build} was replaced while it was read")
                return self._look_up(view, build, None, newer, notes)
            known = of_views[view] = self._look_up(view, build, as_of, as_of, notes)
            return known

        return look_up

    def _look_up(
        self, view: str, build: str, as_of: int | None, built_until: int | None, notes: Sequence[str | None]
    ) -> OfBuild:
        place, declaration, warn = self._views[view]
        reported = _of_view(_decode(notes[place]), view, declaration)
        newest = _later(built_until, reported.reported_until)
        return OfBuild(build, _later(as_of, reported.complete_until), None if newest is None else newest + warn)

    def _moment_of_build(self, view: str, build: str) -> tuple[int | None, int | None]:
        """Return the moment of a build, None where another was published since it was read and it is not known; and
        that of the one which was looked at."""
        known = self._as_of[view].get(build)
        if known is not None:
            return known, known
        record = self._store.build(view)
        if record is None:
            return None, None
        as_of = microseconds(record.as_of)
        others = [each for each in self._as_of[view].items() if each[0] != record.build]
        self._as_of[view] = dict([*others[1 - _BUILDS :], (record.build, as_of)])
        return as_of if record.build == build else None, as_of


@dataclass(frozen=True, slots=True)
class ViewState:
    """How a view stands at a moment, whatever the entity.

    Attributes:
        state: fresh, stale, expired or missing.
        complete_until: the moment up to which its facts are known to be complete.
        reported_until: the newest moment that a build or a push reported anything of.
        failing: whether that lies as far back as `freshness.fail`.
        since: when the state began, as far as the store tells: the newest moment reported for a fresh view, that plus
            `freshness.warn` for a stale one, the end of the build for an expired one; None for a missing one.
    """

    view: str
    state: str
    complete_until: int | None = None
    reported_until: int | None = None
    failing: bool = False
    since: int | None = None

    def __str__(self) -> str:
        if self.reported_until is None or self.state == FRESH:
            return f"feature view {self.view} is {self.state}"
        return f"feature view {self.view} is {self.state}: nothing is reported after {moment_of(self.reported_until)}"


def view_state(store: OnlineStore, view: FeatureViewSpec, freshness: Freshness, at: int | None) -> ViewState:
    """Look at how a view stands at a moment; None for whether it has a build at all, which is fresh then.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    declaration = declaration_of(view)
    (note,) = store.notes([_key(view.table or "")])
    build = store.build(view.name)
    if build is None or not build.is_of(declaration):
        return ViewState(view.name, MISSING)
    reported = _of_view(_decode(note), view.name, declaration)
    as_of = microseconds(build.as_of)
    newest = max(as_of, reported.reported_until or as_of)
    state, failing, stale_from = FRESH, False, newest + _whole(freshness.warn_after)
    if at is not None:
        failing = at - newest >= _whole(freshness.fail_after)
        state = _state(build, at, stale=at >= stale_from)
    since = {FRESH: newest, STALE: stale_from, EXPIRED: build.end}.get(state)
    return ViewState(view.name, state, max(as_of, reported.complete_until or as_of), newest, failing, since)


def _state(build: Build, at: int, *, stale: bool) -> str:
    if at < build.begin:
        return MISSING
    if build.end is not None and at >= build.end:
        return EXPIRED
    return STALE if stale else FRESH


def _newest(change: ViewChange, arrived_at: int) -> int | None:
    """Return the moment of the newest fact that a push adds to a view; what lies ahead counts as of the push."""
    moments = (arrived_at if row.known_at is None else row.known_at for row in change.rows if not row.retracts)
    newest = max(moments, default=None)
    return None if newest is None else min(newest, arrived_at)


def _of_view(reported: Mapping[str, Reported], view: str, declaration: str) -> Reported:
    kept = reported.get(view)
    return kept if kept is not None and kept.declaration == declaration else Reported(declaration)


def _later(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return first if second is None else second
    return max(first, second)


def _key(table: str) -> str:
    return f"reported:{table}"


def _whole(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


@lru_cache(maxsize=256)
def _decode(note: str | None) -> Mapping[str, Reported]:
    return {} if note is None else {view: Reported(*kept) for view, kept in orjson.loads(note).items()}
