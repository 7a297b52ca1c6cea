"""How online views stand, from their store: no server need run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.declarations.specs import DeclaredView
from ml_assets.freshness import Freshness


class ViewStatus(BaseModel):
    """One online view now. Moments are ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True)

    view: str
    state: str = Field(
        description="fresh; stale: nothing was reported for freshness.warn; expired: its build is older than max_age; "
        "missing: it has no build of what is declared."
    )
    since: str | None = Field(
        description="When the state began: the newest moment that a build or a push reported for a fresh view, that "
        "plus freshness.warn for a stale one, the end of the build for an expired one; null for a missing one."
    )
    complete_until: str | None = Field(
        description="Moment up to which its facts are known to be complete; null for a missing one."
    )


def view_statuses(
    views: Sequence[DeclaredView], online_store: str, now: datetime
) -> tuple[Mapping[str, ViewStatus], str | None]:
    """Return how views stand at ``now`` by name, and why that is not known, if it is not.

    Args:
        views: that are online; one may come several times.
        online_store: URL of their store, which is not made where it is not there.
    """
    from ml_assets.online.completeness import view_state
    from ml_assets.online.stores.errors import StoreUnavailable
    from ml_assets.online.stores.opening import open_if_there
    from ml_assets.online.stores.records import MISSING
    from ml_assets.online.values.record import microseconds

    of_table = {view.name: view for view in views if view.table is not None}
    if not of_table:
        return {}, None
    try:
        store = open_if_there(online_store)
        if store is None:
            missing = {name: ViewStatus(view=name, state=MISSING, since=None, complete_until=None) for name in of_table}
            return missing, None
        try:
            states = [
                view_state(store, view, view.online.freshness if view.online else Freshness(), microseconds(now))
                for view in of_table.values()
            ]
        finally:
            store.close()
    except (StoreUnavailable, ValueError) as error:
        return {}, str(error)
    return {
        each.view: ViewStatus(
            view=each.view, state=each.state, since=_shown(each.since), complete_until=_shown(each.complete_until)
        )
        for each in states
    }, None


def view_lines(views: Sequence[ViewStatus]) -> list[str]:
    """Describe views, a line for all that stand alike."""

    def alike(view: ViewStatus) -> tuple[str, str, str]:
        return view.state, view.since or "", view.complete_until or ""

    lines = []
    for (state, since, complete_until), group in groupby(sorted(views, key=alike), key=alike):
        moments = [f"since {since}"] * bool(since) + [f"complete until {complete_until}"] * bool(complete_until)
        names = ", ".join(view.view for view in group)
        lines.append(f"online views {state}{''.join(f' {each},' for each in moments).rstrip(',')}: {names}")
    return lines


def _shown(at: int | None) -> str | None:
    from ml_assets.online.values.record import moment_of

    return None if at is None else moment_of(at).isoformat()
