"""A real MariaDB server in a temporary folder, from the `mariadb-install-db` and `mariadbd` programs."""

import os
import pwd
import shutil
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
REQUIRE = "ML_ASSETS_REQUIRE_MARIADB"
SETUP = f"""
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE USER 'shop'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON shop.* TO 'shop'@'127.0.0.1';
"""


def _program(name: str) -> str:
    """The path of a program; skips the test where there is none, unless it is required."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found:
        return found
    missing = f"no `{name}` program: install mariadb-server"
    if os.environ.get(REQUIRE):
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def mariadb_server() -> Iterator[str]:
    """Starts a server; yields its address, ``host:port``. User shop with PASSWORD owns the database shop."""
    install, server_program = _program("mariadb-install-db"), _program("mariadbd")
    # The server refuses to run as root.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    folder = Path(tempfile.mkdtemp(prefix="maria-"))
    try:
        (folder / "setup.sql").write_text(SETUP)
        for path in (folder, folder / "setup.sql"):
            os.chown(path, *((user.pw_uid, user.pw_gid) if user else (-1, -1)))
        data, port = folder / "data", _free_port()
        common = ["--no-defaults", f"--datadir={data}"]
        subprocess.run(
            [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, capture_output=True, cwd="/", **as_user,
        )  # fmt: skip
        # Neither zone nor mode of the session may matter to what is read.
        settings = [f"--port={port}", f"--socket={folder / 's'}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        settings += [f"--init-file={folder / 'setup.sql'}", f"--pid-file={folder / 'pid'}", "--skip-log-bin"]
        settings += ["--default-time-zone=+09:00", "--sql-mode=", "--innodb-flush-log-at-trx-commit=0"]
        settings += ["--innodb-buffer-pool-size=16M", "--key-buffer-size=1M", "--performance-schema=OFF"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([server_program, *common, *settings], stdout=log, stderr=log, cwd="/", **as_user)
        try:
            _wait(server, port, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(server: subprocess.Popen, port: int, log: Path) -> None:
    import pymysql

    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="shop", password=PASSWORD, database="shop").close()
        except pymysql.Error:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"MariaDB does not answer: {log.read_text()}")
