"""Finds in registry, lake and declarations what is handed over to other tools."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from ml_assets.declarations.project import DeclaredProject
from ml_assets.durations import parse_duration
from ml_assets.handover.feast.repository import Repository, ViewInLake, export_views, last_known
from ml_assets.handover.formats.base import HandoverCandidate
from ml_assets.handover.package import Packaged, package_model
from ml_assets.lake import Lake
from ml_assets.online.spec import OnlineSpec
from ml_assets.registry.decisions import Decisions
from ml_assets.registry.records import CHAMPION, RegisteredVersion
from ml_assets.registry.registry import Registry
from ml_assets.training.fit import load_model

PERIOD = timedelta(days=28)
"""Of history in a Feast repository, unless told otherwise: every change of every entity is a row of it."""


def package_version(
    registry: Registry, lake: Lake, name: str, version: str | None, form: str, output: Path
) -> Packaged:
    """Package a version, None for the champion, after trying it on its rows of ``<model>/reference``.

    Raises:
        LookupError: there is no such version, or no holdout row of it.
        ValueError: what `package_model` raises.
        FileNotFoundError: the version's files are not where they were registered.
    """
    Decisions(lake, registry, name).settle()
    registered = _find(registry, name, version)
    rows = lake.scan(f"{name}/reference").filter(pl.col("model_version") == registered.version).collect()
    with registry.files(registered) as files:
        return package_model(HandoverCandidate(name, registered.version, load_model(files), rows, files), form, output)


def _find(registry: Registry, name: str, version: str | None) -> RegisteredVersion:
    if version is None:
        champion = registry.champion(name)
        if champion is None:
            raise LookupError(f"no version of model {name} is its {CHAMPION}: promote one, or name a --version")
        return champion
    known = {registered.version: registered for registered in registry.versions(name)}
    if version not in known:
        raise LookupError(f"model {name} has no version {version}: there are {', '.join(known) or 'none'}")
    return known[version]


def export_use_case(
    declared: DeclaredProject, lake: Lake, use_case: str, output: Path, since: str = "", as_of: str = ""
) -> Repository:
    """Write the use case's views as a Feast repository.

    Args:
        since: ISO date or time, UTC where it has no zone; empty for PERIOD before as_of.
        as_of: the same; empty for when the newest fact was known.

    Raises:
        LookupError: the use case declares no view, or a view's table is not in the lake.
        ValueError: what `export_views` raises.
    """
    own = declared.only(use_case).views if use_case in declared.use_cases else []
    if not own:
        others = sorted({declared.use_case_of(view) for view in declared.views.values()})
        raise LookupError(f"no feature view is declared under defs/{use_case}; there are some of {', '.join(others)}")
    views = [
        ViewInLake(
            view,
            None if view.table is None else lake.scan(view.table),
            parse_duration((view.online or OnlineSpec()).max_age),
        )
        for view in own
    ]
    last = _moment(as_of) if as_of else last_known(views)
    return export_views(use_case, views, output, since=_moment(since) if since else last - PERIOD, as_of=last)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} must be an ISO date or time, such as 2024-02-29 or 2024-02-29T12:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
