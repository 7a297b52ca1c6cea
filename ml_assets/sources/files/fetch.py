"""The bytes of a delivered file, from a local path, an installed package or a URL."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.where import Where


def locate(where: Where) -> str:
    """Return path or URL of the file, its `{partition}` placeholder still in it; empty for a query.

    Raises:
        DeliveryFault: the package is not installed.
    """
    if where.package is None:
        return where.path or ""
    # find_spec of a top-level name only looks the package up; importing it could run anything.
    package = importlib.util.find_spec(where.package)
    if package is None or not package.submodule_search_locations:
        raise DeliveryFault(
            "missing file",
            f"package {where.package!r} is not installed",
            f"`uv pip install {where.package}`, or change `where`",
        )
    return str(Path(package.submodule_search_locations[0]) / where.template)


def fetch(address: str) -> bytes:
    """Return the whole file at a local path or a URL that fsspec knows.

    Raises:
        DeliveryFault: it is not there, or cannot be reached.
    """
    with reaching(address):
        if "://" not in address:
            return Path(address).read_bytes()
        filesystem, path = filesystem_of(address)
        return filesystem.cat_file(path)


@contextmanager
def open_file(address: str) -> Iterator[BinaryIO]:
    """Open the file at a local path or a URL that fsspec knows, to read it bit by bit.

    Raises:
        DeliveryFault: it is not there, or cannot be reached.
    """
    with reaching(address):
        filesystem, path = filesystem_of(address)
        opened = filesystem.open(path, "rb")
    with opened as file:
        yield file


def exists(address: str) -> bool:
    """Return whether there is a file at this local path or URL.

    Raises:
        DeliveryFault: the place cannot be reached.
    """
    with reaching(address):
        filesystem, path = filesystem_of(address)
        return filesystem.exists(path)


def filesystem_of(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for the address, and the path in it; earlier listings of it are forgotten."""
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(address)
    # fsspec keeps file systems and their listings for the life of the process; new drops would not be seen.
    filesystem.invalidate_cache()
    return filesystem, path


def is_web_server(filesystem: Any) -> bool:
    """Return whether files can be requested by name alone, and not listed."""
    return "http" in filesystem.protocol


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Raise DeliveryFault, with the address, for any error inside."""
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
