"""The bytes of a delivered file, from a local path, an installed package or a URL."""

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.spec import PARTITION, Where

# What the protocols call the state of a file: HTTP, S3, Azure, Google Cloud, FTP and SFTP.
_STATE = ("ETag", "etag", "Last-Modified", "LastModified", "last_modified", "updated", "modify", "mtime", "size")
_KNOWN_TO_POLARS = {"s3", "gs", "gcs", "az", "abfs", "abfss", "adl"}
# Object stores answer 403 for a file that is not there to whoever may not list.
_ABSENT = (403, 404, 410)


def locate(where: Where) -> str:
    """Path or URL of the file, its `{partition}` placeholder still in it.

    Raises:
        DeliveryFault: the package is not installed.
    """
    if where.path is not None:
        return where.path
    # find_spec of a top-level name only looks the package up; importing it could run anything.
    found = importlib.util.find_spec(where.package)
    if found is None or not found.submodule_search_locations:
        raise DeliveryFault(
            "missing file", f"package {where.package!r} is not installed", "install it or change `where`"
        )
    return str(Path(found.submodule_search_locations[0]) / where.file)


def fetch(address: str) -> bytes:
    """The whole file at a local path or a URL that fsspec knows.

    Raises:
        DeliveryFault: it is not there, or cannot be reached.
    """
    with _reaching(address):
        if "://" not in address:
            return Path(address).read_bytes()
        filesystem, path = _filesystem(address)
        return filesystem.cat_file(path)


def exists(address: str) -> bool:
    """Whether there is a file at this local path or URL.

    Raises:
        DeliveryFault: the place cannot be reached.
    """
    with _reaching(address):
        filesystem, path = _filesystem(address)
        return filesystem.exists(path)


def parquet_files(address: str) -> tuple[list[str], bool]:
    """The Parquet file at the address, or all below it, sorted; and whether Polars can read them by path.

    Folders and files whose names begin with ``_`` or ``.`` are the writer's own and left out.

    Raises:
        DeliveryFault: the place cannot be reached.
    """
    from fsspec.implementations.local import LocalFileSystem

    with _reaching(address):
        filesystem, path = _filesystem(address)
        if "http" in filesystem.protocol:
            return ([address] if filesystem.exists(path) else []), False
        paths = sorted(_parquet_infos(filesystem, path))
    if isinstance(filesystem, LocalFileSystem):
        return paths, True
    known = not _KNOWN_TO_POLARS.isdisjoint(_protocols(filesystem))
    return [filesystem.unstrip_protocol(path) for path in paths], known


def _parquet_infos(filesystem: Any, path: str) -> dict[str, dict[str, Any]]:
    """Path -> what fsspec knows of it: the file itself, or every Parquet file below the folder."""
    found = filesystem.find(path, detail=True)
    if list(found) == [path]:
        return found
    inside = {file: file.removeprefix(path).strip("/").split("/") for file in found}
    hidden = {file for file, parts in inside.items() if any(part[:1] in ("_", ".") for part in parts)}
    return {file: info for file, info in found.items() if file.endswith(".parquet") and file not in hidden}


def _protocols(filesystem: Any) -> set[str]:
    spoken = filesystem.protocol
    return {spoken} if isinstance(spoken, str) else set(spoken)


def held_partitions(address: str, candidates: list[str] | None) -> list[str]:
    """Names for which the address with a `{partition}` placeholder has a file, sorted.

    Local paths and object stores are listed. A web server cannot be, so it is asked for each candidate.

    Raises:
        DeliveryFault: the place cannot be reached, or cannot be listed and there are no candidates.
    """
    with _reaching(address):
        filesystem, path = _filesystem(address)
        if "http" not in filesystem.protocol:
            return sorted(_listed(filesystem, path))
        if candidates is not None:
            return [name for name in candidates if filesystem.exists(path.replace(PARTITION, name))]
    raise _unlistable(address)


def file_token(address: str, now: float, settle: float) -> str | None:
    """A text that changes when the file's bytes may have changed; the file is not read to tell.

    A local file's size and modification time, else whatever the protocol says of entity tag, modification
    time and size. Of a file of which it says nothing the bytes are fetched and hashed. Of a folder it covers
    every Parquet file below.

    Args:
        now: seconds since 1970.
        settle: a local file modified within so many seconds of `now` may still be written.

    Returns:
        None if there is no file, or if it (or one of the folder) may still be written.

    Raises:
        DeliveryFault: the place cannot be reached.
    """
    with _reaching(address):
        filesystem, path = _filesystem(address)
        try:
            return _token(filesystem, filesystem.info(path), now, settle)
        except FileNotFoundError as error:
            if "http" in filesystem.protocol:
                _raise_unless_absent(error)
            return None


def held_tokens(address: str, candidates: list[str] | None, now: float, settle: float) -> dict[str, str]:
    """`file_token` of each name for which the address with a `{partition}` placeholder has a file.

    Found as by `held_partitions`; what is listed is not asked for file by file.

    Raises:
        DeliveryFault: the place cannot be reached, or cannot be listed and there are no candidates.
    """
    with _reaching(address):
        filesystem, path = _filesystem(address)
        if "http" not in filesystem.protocol:
            listed = sorted(_listed(filesystem, path).items())
            return _present({name: _token(filesystem, info, now, settle) for name, info in listed})
    if candidates is None:
        raise _unlistable(address)
    return _present({name: file_token(address.replace(PARTITION, name), now, settle) for name in candidates})


def _present(tokens: dict[str, str | None]) -> dict[str, str]:
    return {name: token for name, token in tokens.items() if token is not None}


def _token(filesystem: Any, info: dict[str, Any], now: float, settle: float) -> str | None:
    from fsspec.implementations.local import LocalFileSystem

    if info.get("type") == "directory":
        return _folder_token(filesystem, info["name"], now, settle)
    if isinstance(filesystem, LocalFileSystem):
        return _local_token(info["name"], now, settle)
    told = " ".join(f"{key}={info[key]}" for key in _STATE if info.get(key) is not None)
    return told or f"sha256={hashlib.sha256(filesystem.cat_file(info['name'])).hexdigest()}"


def _folder_token(filesystem: Any, folder: str, now: float, settle: float) -> str | None:
    files = sorted(_parquet_infos(filesystem, folder).items())
    tokens = [_token(filesystem, info, now, settle) for _, info in files]
    if not tokens or None in tokens:
        return None
    told = "\n".join(f"{path} {token}" for (path, _), token in zip(files, tokens, strict=True))
    return f"files={len(files)} sha256={hashlib.sha256(told.encode()).hexdigest()}"


def _local_token(path: str, now: float, settle: float) -> str | None:
    try:
        found = os.stat(path)  # fsspec's modification time is a float, which cannot hold nanoseconds
    except FileNotFoundError:  # removed since it was listed
        return None
    except OSError as error:  # a link that leads to itself: whoever reads the file is told so
        return f"unreadable errno={error.errno}"
    # Looked at on both sides of now, as the clock of a shared folder may be ahead; a file dated far ahead counts.
    if abs(now - found.st_mtime) < settle:
        return None
    return f"size={found.st_size} mtime_ns={found.st_mtime_ns}"


def _raise_unless_absent(error: FileNotFoundError) -> None:
    """fsspec reports whatever goes wrong with a web server as a missing file; the cause tells what it was."""
    cause = error.__cause__
    if cause is not None and getattr(cause, "status", None) not in _ABSENT:
        raise cause


def _unlistable(address: str) -> DeliveryFault:
    return DeliveryFault(
        "unreachable",
        f"a web server cannot be listed ({address})",
        "give drops an `end`, so that each is asked for",
    )


def _listed(filesystem: Any, path: str) -> dict[str, dict[str, Any]]:
    """Name -> what fsspec knows of its file."""
    pattern = re.compile(re.escape(path).replace(re.escape(PARTITION), "(.+)", 1))
    found = filesystem.glob(path.replace(PARTITION, "*"), detail=True)
    matches = ((pattern.fullmatch(file), info) for file, info in found.items())
    return {match[1]: info for match, info in matches if match}


def _filesystem(address: str) -> tuple[Any, str]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(address)
    # fsspec keeps file systems and their listings for the life of the process; new drops would not be seen.
    filesystem.invalidate_cache()
    return filesystem, path


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DeliveryFault("missing file", f"there is no file {address}", "deliver it or change `where`") from error
    except Exception as error:  # every protocol has its own exceptions; none may pass without the address
        reason = " ".join(str(error).split()) or "no reason given"
        raise DeliveryFault(
            "unreachable",
            f"{address} cannot be read ({type(error).__name__}: {reason})",
            "check the address, the network and the credentials",
        ) from error
