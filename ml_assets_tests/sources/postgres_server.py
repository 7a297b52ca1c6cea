"""A real PostgreSQL server in a temporary folder, from the `initdb` and `postgres` programs."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "Pa55 w@rd/secret"
ESCAPED = "Pa55%20w%40rd%2Fsecret"
REQUIRE = "ML_ASSETS_REQUIRE_POSTGRES"


def _programs() -> Path:
    """The folder of both programs; skips the test where there is none, unless they are required."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    missing = "no `initdb` and `postgres` programs, on PATH or in /usr/lib/postgresql/*/bin: install postgresql"
    if os.environ.get(REQUIRE):
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Starts a server; yields its address, ``host:port``. User shop with PASSWORD owns the database postgres."""
    programs = _programs()
    # The server refuses to run as root.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    folder = Path(
        tempfile.mkdtemp(prefix="pg-")
    )  # not pytest's, which nobody else may enter, and a socket's path is short
    try:
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            os.chown(path, *((user.pw_uid, user.pw_gid) if user else (-1, -1)))
        data, port = folder / "data", _free_port()
        initdb = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "shop",
            "-A",
            "scram-sha-256",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run(
            [*initdb, f"--pwfile={folder / 'password'}"], check=True, capture_output=True, cwd="/", **as_user
        )
        # Neither zone nor format of the session may matter to what is read.
        settings = [f"-cport={port}", f"-cunix_socket_directories={folder}", "-clisten_addresses=127.0.0.1"]
        settings += ["-cfsync=off", "-cTimeZone=Asia/Tokyo", "-cdatestyle=German", "-cshared_buffers=16MB"]
        with (folder / "log").open("wb") as log:
            command = [programs / "postgres", "-D", data, *settings]
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **as_user)
        try:
            _wait(server, port, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)  # whoever is still connected is not waited for
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(server: subprocess.Popen, port: int, log: Path) -> None:
    from adbc_driver_postgresql import dbapi

    for _ in range(200):
        assert server.poll() is None, log.read_text()
        try:
            dbapi.connect(f"postgresql://shop:{ESCAPED}@127.0.0.1:{port}/postgres").close()
        except dbapi.Error:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL does not answer: {log.read_text()}")
