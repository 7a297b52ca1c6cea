"""SQLite database files that exist whole or not at all."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from ml_assets.addresses import sqlite_url


def create_whole(path: Path, create_tables: Callable[[str], None]) -> None:
    """Create an SQLite file with its tables, unless it is there.

    Libraries create their tables one by one. A process killed half way, or a second one that comes in
    between, would meet a schema that is neither old nor new. So the tables are made in a file beside it
    that is then renamed; a lock, which the system frees when its holder dies, lets one process at a time
    do so. Write-ahead logging is switched on in the file: with it readers do not block a writer.

    Args:
        create_tables: gets the URL of the file to fill, and must close its connections.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        if path.exists():
            return
        draft = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            create_tables(sqlite_url(draft))
            connection = sqlite3.connect(draft)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
