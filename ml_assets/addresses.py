"""A path as each kind of address, and back. Nothing else builds or reads one."""

import re
from pathlib import Path

_SQLITE = "sqlite:///"
_FILE = "file://"

UNFIT = re.compile(r"[?\[\]|^\\=]|%[0-9A-Fa-f]{2}|[\x00-\x1f]")
"""What in a path SQLAlchemy (``?``), Delta Lake (brackets, ``|``, ``^``, ``\\``, a written ``%20``) or a reader of
partitioned files (``=``) takes for something else; no spelling of an address prevents that."""


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = r"(?:\[[0-9A-Fa-f:.%]*\]|[^/?#@:,\s\[\]]*)(?::\d*)?"
_URL = re.compile(
    rf"(?P<scheme>{_SCHEME.pattern})(?:[^/?\s@]*@)?(?P<hosts>{_HOST}(?:,(?:[^/?\s@,]*@)?{_HOST})*)"
    r"(?P<rest>(?:[/?#].*)?)",
    re.DOTALL,
)
_SECRET_OPTION = re.compile(r"((?:^|(?<=[&;]))[^=&;]*(?:pass|pwd|secret|token)[^=&;]*(?<!file)=)[^&;]*", re.IGNORECASE)


def require_fit(path: str | Path, use: str) -> None:
    """Raise ValueError for a path that databases or tables would read as something else.

    Args:
        use: what it is for, such as ``ML_ASSETS_HOME``.

    Raises:
        ValueError: a part of it would be taken for something else.
    """
    unfit = UNFIT.search(str(path))
    if unfit is not None:
        raise ValueError(
            f"{use} {path} holds {unfit.group()!r}, which databases and tables take for something else: "
            "name a folder without ? [ ] | ^ \\ = and %-codes"
        )


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of an SQLite file.

    Raises:
        ValueError: the path holds a question mark, after which SQLAlchemy reads options.
    """
    if "?" in str(path):
        raise ValueError(f"a database cannot lie at {path}: name a path without ?")
    return f"{_SQLITE}{path}"


def sqlite_path(url: str) -> Path | None:
    """Return the file behind an SQLAlchemy URL; None for another database, or one in memory."""
    # SQLAlchemy's own parser says the same of these, and importing it would cost a server 0.2 s of its start.
    if not url.startswith(_SQLITE):
        return None
    file = url.removeprefix(_SQLITE).partition("?")[0]
    return None if file in ("", ":memory:") else Path(file)


def artifact_uri(root: str) -> str:
    """Return the place where MLflow keeps files as a URI: a folder becomes ``file:///...``, a URL stays."""
    return root.rstrip("/") if "://" in root else Path(root).absolute().as_uri()


def local_path(address: str) -> Path | None:
    """Return the folder or file behind a path or ``file://`` URI; None for another URL."""
    if address.startswith(_FILE):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(address).path))
    return None if "://" in address else Path(address)


def is_readable(url: str) -> bool:
    """Return whether all readers of a URL take the same part of it for the password, so that it can be left out."""
    return _URL.fullmatch(url) is not None


def without_secrets(url: str) -> str:
    """Return a URL as it may be shown: without users, passwords, and the values of options that are secrets.

    Of one that cannot be read, such as with a password that is not percent-encoded, the scheme alone is shown.
    """
    parts = _URL.fullmatch(url)
    if parts is None:
        scheme = _SCHEME.match(url)
        return f"{scheme.group()}..." if scheme else re.sub(r"(?<=://)[^/@\s]*@", "", url)
    hosts = ",".join(host.rpartition("@")[2] for host in parts["hosts"].split(","))
    path, mark, options = parts["rest"].partition("?")
    return parts["scheme"] + hosts + path + mark + _SECRET_OPTION.sub(r"\1***", options)
