"""What to do where a disk does not take what is written to it."""

import errno
import sqlite3

_ROOM = "make room on its disk: `df -h` shows its bytes, `df -i` its inodes, of which each file takes one"
_RIGHTS = "this process may not: look at the rights and the owner of the file and of its folder"
_READ_ONLY = "its disk may only be read: mount it to be written (after an error, systems mount disks anew so)"

_OF_SYSTEM = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: "make room, or get a larger quota: `quota` shows it",
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "its disk fails: look at the system's log",
}

_OF_SQLITE = {
    sqlite3.SQLITE_FULL: _ROOM,
    sqlite3.SQLITE_READONLY: f"{_RIGHTS}; or {_READ_ONLY}",
    sqlite3.SQLITE_CANTOPEN: f"it, or its -wal and -shm, cannot be opened or made: {_RIGHTS}; or {_ROOM}",
    sqlite3.SQLITE_IOERR: f"{_ROOM}; or its disk fails: look at the system's log",
}


def describe_fault(error: OSError | sqlite3.Error) -> str:
    """Return what is wrong, and what to do about it where that is known; a database says the first half itself."""
    if isinstance(error, sqlite3.Error):
        # Without the part of the code that says where within SQLite it was met.
        what, remedy = str(error), _OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    else:
        what, remedy = error.strerror or str(error), _OF_SYSTEM.get(error.errno or 0)
    return what if remedy is None else f"{what}: {remedy}"
