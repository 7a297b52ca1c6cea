"""Texts that change when files do, without a byte of them being read."""

import hashlib
import os
from typing import Any

from ml_assets.sources.files.fetch import filesystem_of, is_web_server, reaching
from ml_assets.sources.files.listing import listed_partitions, parquet_infos, unlistable
from ml_assets.sources.where import PARTITION

# What the protocols call the state of a file: HTTP, S3, Azure, Google Cloud, FTP and SFTP.
_STATE = ("ETag", "etag", "Last-Modified", "LastModified", "last_modified", "updated", "modify", "mtime", "size")
# Object stores answer 403 for a file that is not there to whoever may not list.
_ABSENT = (403, 404, 410)


def file_token(address: str, now: float, settle: float) -> str | None:
    """Return a text that changes when the file's bytes may have changed, mostly without reading the file.

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
    with reaching(address):
        filesystem, path = filesystem_of(address)
        try:
            return _token(filesystem, filesystem.info(path), now, settle)
        except FileNotFoundError as error:
            if is_web_server(filesystem):
                _raise_unless_absent(error)
            return None


def held_tokens(address: str, candidates: list[str] | None, now: float, settle: float) -> dict[str, str]:
    """Return `file_token` of each name for which the address with a `{partition}` placeholder has a file.

    The names are those of `held_partitions`; what is listed is not requested file by file.

    Raises:
        DeliveryFault: the place cannot be reached, or cannot be listed and there are no candidates.
    """
    with reaching(address):
        filesystem, path = filesystem_of(address)
        if not is_web_server(filesystem):
            listed = sorted(listed_partitions(filesystem, path).items())
            return _present({name: _token(filesystem, info, now, settle) for name, info in listed})
    if candidates is None:
        raise unlistable(address)
    return _present({name: file_token(address.replace(PARTITION, name), now, settle) for name in candidates})


def _present(tokens: dict[str, str | None]) -> dict[str, str]:
    return {name: token for name, token in tokens.items() if token is not None}


def _token(filesystem: Any, info: dict[str, Any], now: float, settle: float) -> str | None:
    from fsspec.implementations.local import LocalFileSystem

    if info.get("type") == "directory":
        return _folder_token(filesystem, info["name"], now, settle)
    if isinstance(filesystem, LocalFileSystem):
        return _local_token(info["name"], now, settle)
    state = " ".join(f"{key}={info[key]}" for key in _STATE if info.get(key) is not None)
    return state or f"sha256={hashlib.sha256(filesystem.cat_file(info['name'])).hexdigest()}"


def _folder_token(filesystem: Any, folder: str, now: float, settle: float) -> str | None:
    files = sorted(parquet_infos(filesystem, folder).items())
    tokens = [_token(filesystem, info, now, settle) for _, info in files]
    if not tokens or None in tokens:
        return None
    states = "\n".join(f"{path} {token}" for (path, _), token in zip(files, tokens, strict=True))
    return f"files={len(files)} sha256={hashlib.sha256(states.encode()).hexdigest()}"


def _local_token(path: str, now: float, settle: float) -> str | None:
    try:
        status = os.stat(path)  # fsspec's modification time is a float, which cannot hold nanoseconds
    except FileNotFoundError:  # removed since it was listed
        return None
    except OSError as error:  # a link that leads to itself: whoever reads the file is told so
        return f"unreadable errno={error.errno}"
    # Looked at on both sides of now, as the clock of a shared folder may be ahead; a file dated far ahead counts.
    if abs(now - status.st_mtime) < settle:
        return None
    return f"size={status.st_size} mtime_ns={status.st_mtime_ns}"


def _raise_unless_absent(error: FileNotFoundError) -> None:
    """Raise what fsspec reports as a missing file, as it does whatever goes wrong with a web server."""
    cause = error.__cause__
    if cause is not None and getattr(cause, "status", None) not in _ABSENT:
        raise cause
