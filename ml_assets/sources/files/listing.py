"""Which delivered files a place holds."""

import re
from typing import Any

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.files.fetch import filesystem_of, is_web_server, reaching
from ml_assets.sources.where import PARTITION

_KNOWN_TO_POLARS = {"s3", "gs", "gcs", "az", "abfs", "abfss", "adl"}


def parquet_files(address: str) -> tuple[list[str], bool]:
    """Return the Parquet file at the address, or all below it, sorted; and whether Polars can read them by path.

    Folders and files whose names begin with ``_`` or ``.`` are the writer's own and left out.

    Raises:
        DeliveryFault: the place cannot be reached.
    """
    from fsspec.implementations.local import LocalFileSystem

    with reaching(address):
        filesystem, path = filesystem_of(address)
        if is_web_server(filesystem):
            return ([address] if filesystem.exists(path) else []), False
        paths = sorted(parquet_infos(filesystem, path))
    if isinstance(filesystem, LocalFileSystem):
        return paths, True
    known = not _KNOWN_TO_POLARS.isdisjoint(_protocols(filesystem))
    return [filesystem.unstrip_protocol(path) for path in paths], known


def parquet_infos(filesystem: Any, path: str) -> dict[str, dict[str, Any]]:
    """Return fsspec's information by path: of the file itself, or of every Parquet file below the folder."""
    files = filesystem.find(path, detail=True)
    if list(files) == [path]:
        return files
    inside = {file: file.removeprefix(path).strip("/").split("/") for file in files}
    hidden = {file for file, parts in inside.items() if any(part[:1] in ("_", ".") for part in parts)}
    return {file: info for file, info in files.items() if file.endswith(".parquet") and file not in hidden}


def held_partitions(address: str, candidates: list[str] | None) -> list[str]:
    """Return the names for which the address with a `{partition}` placeholder has a file, sorted.

    Local paths and object stores are listed. A web server cannot be, so each candidate is requested.

    Raises:
        DeliveryFault: the place cannot be reached, or cannot be listed and there are no candidates.
    """
    with reaching(address):
        filesystem, path = filesystem_of(address)
        if not is_web_server(filesystem):
            return sorted(listed_partitions(filesystem, path))
        if candidates is not None:
            return [name for name in candidates if filesystem.exists(path.replace(PARTITION, name))]
    raise unlistable(address)


def listed_partitions(filesystem: Any, path: str) -> dict[str, dict[str, Any]]:
    """Return fsspec's information of each file by the name that its path has in place of `{partition}`."""
    pattern = re.compile(re.escape(path).replace(re.escape(PARTITION), "(.+)", 1))
    files = filesystem.glob(path.replace(PARTITION, "*"), detail=True)
    matches = ((pattern.fullmatch(file), info) for file, info in files.items())
    return {match[1]: info for match, info in matches if match}


def unlistable(address: str) -> DeliveryFault:
    """Return the fault of a web server that is to be listed."""
    return DeliveryFault(
        "unreachable",
        f"a web server cannot be listed ({address})",
        "give drops an `end`, so that each is asked for",
    )


def _protocols(filesystem: Any) -> set[str]:
    protocols = filesystem.protocol
    return {protocols} if isinstance(protocols, str) else set(protocols)
