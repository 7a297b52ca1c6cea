"""Finds in registry and lake what is handed over to other tools."""

from pathlib import Path

import polars as pl

from ml_assets.handover.package import Candidate, Packaged, package_model
from ml_assets.lake import Lake
from ml_assets.registry.records import CHAMPION, RegisteredVersion
from ml_assets.registry.registry import Registry
from ml_assets.training.fit import load_model


def package_version(
    registry: Registry, lake: Lake, name: str, version: str | None, form: str, output: Path
) -> Packaged:
    """Package a version, None for the champion, after trying it on its rows of ``<model>/reference``.

    Raises:
        LookupError: there is no such version, or no holdout row of it.
        ValueError: what `package_model` raises.
        FileNotFoundError: the version's files are not where they were registered.
    """
    found = _find(registry, name, version)
    rows = lake.scan(f"{name}/reference").filter(pl.col("model_version") == found.version).collect()
    with registry.files(found) as files:
        return package_model(Candidate(name, found.version, load_model(files), rows, files), form, output)


def _find(registry: Registry, name: str, version: str | None) -> RegisteredVersion:
    if version is None:
        champion = registry.champion(name)
        if champion is None:
            raise LookupError(f"no version of model {name} is its {CHAMPION}: promote one, or name a --version")
        return champion
    known = {found.version: found for found in registry.versions(name)}
    if version not in known:
        raise LookupError(f"model {name} has no version {version}: there are {', '.join(known) or 'none'}")
    return known[version]
