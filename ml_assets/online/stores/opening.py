"""The online store at an address; each kind of store is an extension, chosen by the scheme of the URL."""

from collections.abc import Callable

from ml_assets.addresses import sqlite_path, without_secrets
from ml_assets.extensions import Extensions
from ml_assets.online.stores.protocol import OnlineStore

OpenStore = Callable[[str], OnlineStore]
"""Opens the store at a URL; raises ValueError where the URL does not fit or what the store needs is not installed."""

_SQLITE = "ml_assets.online.stores.sqlite.store:open_sqlite"
_REDIS = "ml_assets.online.stores.redis.store:RedisStore"

ONLINE_STORES: Extensions[OpenStore] = Extensions(
    "ml_assets.online_stores",
    "online store",
    {
        "sqlite": _SQLITE,
        "postgresql": "ml_assets.online.stores.postgresql.store:PostgresStore",
        **dict.fromkeys(["redis", "rediss", "unix", "redis-cluster", "rediss-cluster"], _REDIS),
    },
)
"""What opens a store, by the scheme of its URL."""


def open_store(url: str) -> OnlineStore:
    """Open the store at an address.

    Args:
        url: `sqlite:///path`, an absolute path with four slashes; `postgresql://host:port/database`;
            `redis://host:port/number`; or a URL whose scheme an installed package registers.

    Raises:
        ValueError: no such kind of store, or what it needs is not installed.
    """
    return _kind_of(url)(url)


def open_if_there(url: str) -> OnlineStore | None:
    """Open the store at an address as `open_store` does; None for a file that is not there, which is not made."""
    file = sqlite_path(url) if url.startswith("sqlite:") else None
    return None if file is not None and not file.exists() else open_store(url)


def check_store_address(url: str) -> None:
    """Raise ValueError for an address that no kind of store can be opened at; nothing is opened or made."""
    _kind_of(url)
    if url.startswith("sqlite:") and sqlite_path(url) is None:
        raise ValueError(f"online store {url!r}: names no file; write sqlite:///path")


def _kind_of(url: str) -> OpenStore:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ONLINE_STORES.names():
        raise ValueError(
            f"online store {without_secrets(url)!r}: write sqlite:///path for a file, "
            "postgresql://host:port/database or redis://host:port/number for a server; known schemes are "
            f"{', '.join(ONLINE_STORES.names())}"
        )
    return ONLINE_STORES.get(scheme)
