"""Versions without which results would be wrong rather than absent."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version


class WrongVersion(RuntimeError):
    """An installed library must not be used with this platform."""


def require_version(library: str, packages: Sequence[str], at_least: tuple[int, int], reason: str) -> None:
    """Raise WrongVersion unless one of the packages of a library is installed, and none is older than ``at_least``.

    Args:
        library: name for the message.
        packages: distributions that each install the library, over one another's files.
        reason: what an older version does wrong.
    """
    installed = {name: _version(name) for name in packages}
    present = {name: v for name, v in installed.items() if v is not None}
    too_old = [f"{name} {v}" for name, v in present.items() if tuple(map(int, v.split(".")[:2])) < at_least]
    if too_old or not present:
        raise WrongVersion(
            f"ml_assets needs {library} {'.'.join(map(str, at_least))} or newer, found {', '.join(too_old) or 'none'}: "
            f"{reason}. Run `make install`, which installs requirements.lock without resolving again, or `uv sync` in "
            "a project of your own, whose [tool.uv] overrides what asks for the old one"
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
