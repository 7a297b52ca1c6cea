"""SQLite database files that exist whole or not at all."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from ml_assets.addresses import sqlite_url

_made: dict[str, bytes] = {}
"""Files without rows of their own that this process has made, by their name."""


def create_whole(path: Path, create_tables: Callable[[str], None], *, named: str = "") -> None:
    """Create an SQLite file with its tables, unless it is there.

    Libraries create their tables one by one. A process killed half way, or a second one that comes in
    between, would meet a schema that is neither old nor new. So the tables are made in a file beside it
    that is then renamed; a lock, which the system frees when its holder dies, lets one process at a time
    do so. Write-ahead logging is switched on in the file: with it readers do not block a writer.

    Args:
        create_tables: gets the URL of the file to fill, and must close its connections.
        named: files of one name are all the same: they are made once in a process, a second of migrations, and copied
            from then on; empty for one that is always made.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        if path.exists():
            return
        draft = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            if named in _made:
                draft.write_bytes(_made[named])
            else:
                _make(draft, create_tables)
                if named:
                    _made[named] = draft.read_bytes()
            _sync(draft)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def _make(draft: Path, create_tables: Callable[[str], None]) -> None:
    with _never_synced(draft):
        create_tables(sqlite_url(draft))
    with closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def _never_synced(draft: Path) -> Iterator[None]:
    """Let SQLAlchemy's connections to a file leave it to the system when to write to the disk.

    Libraries make their tables by dozens of migrations, each a transaction that waits for the disk, seconds in all.
    """
    from sqlalchemy import Engine, event

    def leave(connection, _record) -> None:
        if connection.execute("PRAGMA database_list").fetchone()[2] == str(draft.resolve()):
            connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", leave)
    try:
        yield
    finally:
        event.remove(Engine, "connect", leave)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
