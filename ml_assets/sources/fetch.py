"""The bytes of a delivered file, from a local path, an installed package or a URL."""

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.spec import PARTITION, Where


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


def held_partitions(address: str, candidates: list[str] | None) -> list[str]:
    """Names for which the address with a `{partition}` placeholder has a file, sorted.

    Local paths and object stores are listed. A web server cannot be, so it is asked for each candidate.

    Raises:
        DeliveryFault: the place cannot be reached, or cannot be listed and there are no candidates.
    """
    with _reaching(address):
        filesystem, path = _filesystem(address)
        if "http" not in filesystem.protocol:
            return _listed(filesystem, path)
        if candidates is not None:
            return [name for name in candidates if filesystem.exists(path.replace(PARTITION, name))]
    raise DeliveryFault(
        "unreachable",
        f"a web server cannot be listed ({address})",
        "give drops an `end`, so that each is asked for",
    )


def _listed(filesystem: Any, path: str) -> list[str]:
    pattern = re.compile(re.escape(path).replace(re.escape(PARTITION), "(.+)", 1))
    matches = (pattern.fullmatch(file) for file in filesystem.glob(path.replace(PARTITION, "*")))
    return sorted(match[1] for match in matches if match)


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
