"""Whether a table has changed since it was read, without opening it where it lies in a folder."""

from collections.abc import Hashable
from pathlib import Path

from ml_assets.addresses import local_path
from ml_assets.lake import Lake


def stamp(lake: Lake, table: str) -> Hashable:
    """Return what is another once a table has a new version; None for one that is not there.

    Of a folder it is the time of its log, which each commit adds a file to: microseconds, where opening a table of a
    thousand commits takes milliseconds. Elsewhere it is the table's version.
    """
    folder = local_path(lake.uri(table))
    if folder is None:
        return lake.version(table) if lake.exists(table) else None
    try:
        log = (Path(folder) / "_delta_log").stat()
    except FileNotFoundError:
        return None
    return log.st_mtime_ns, log.st_ino
