"""The processes of a server."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.importer import import_from_string
from uvicorn.server import Server
from uvicorn.supervisors.multiprocess import Multiprocess

from ml_assets.serving.http.transport.guarded import ConnectionLimits, GuardedProtocol

log = logging.getLogger(__name__)

GRACE = 10
"""Seconds that requests have to be answered to their end when a server stops."""

PAUSE = 5.0
"""Seconds between two starts of a worker that cannot begin while others answer."""

HEALTH_SECONDS = 30
"""Seconds within which a worker must say that it lives; it loads libraries and models first."""


def run_server(
    app: Any,
    host: str,
    port: int,
    limits: ConnectionLimits,
    *,
    workers: int = 1,
    log_settings: Mapping[str, Any] | None = None,
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Serve until a signal to end: what is being answered is answered to its end, then each process closes its app.

    Args:
        app: ASGI's; with several workers `module:name` of what makes it, in each of them.
        log_settings: for `logging.config.dictConfig`.
        tls: files of the certificate and its key.

    Raises:
        RuntimeError: it did not start, as the log says.
    """
    certificate, key = tls or (None, None)
    config = Config(
        partial(_make_in_worker, app, multiprocessing.get_context("spawn").Event()) if workers > 1 else app,
        host=host,
        port=port,
        workers=workers,
        factory=workers > 1,
        # Uvicorn makes one for each connection, also in workers that are started with a copy of these settings.
        http=partial(GuardedProtocol, limits),  # pyright: ignore[reportArgumentType]
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=None if log_settings is None else dict(log_settings),
        timeout_keep_alive=limits.idle_seconds,  # pyright: ignore[reportArgumentType]
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=HEALTH_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    started = _run_one(config) if workers == 1 else _run_several(config)
    if not started:
        raise RuntimeError("the server did not start: see above")


class _Supervisor(Multiprocess):
    """The processes of a server; one that ends while it is asked whether it lives is noticed at once."""

    def keep_subprocess_alive(self) -> None:
        """Start those again that have ended; end all of them where one could not begin."""
        for process in self.processes:
            # The other end is the worker's: as long as this process has it open too, its end is waited for in vain.
            process.child_conn.close()
        super().keep_subprocess_alive()


def _run_one(config: Config) -> bool:
    server = Server(config)
    server.run()
    return server.started


def _run_several(config: Config) -> bool:
    with config.bind_socket() as listening:
        supervisor = _Supervisor(config, sockets=[listening])
        supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


def _make_in_worker(name: str, made_once: Event) -> Any:
    _end_with_parent()
    make: Callable[[], Any] = import_from_string(name)
    try:
        app = make()
    except Exception:
        # Whatever it is, a server that never answered ends; one that answers goes on, and tries again.
        log.exception("a worker cannot begin")
        if not made_once.is_set():
            sys.exit(STARTUP_FAILURE)
        time.sleep(PAUSE)
        raise
    made_once.set()
    return app


def _end_with_parent() -> None:
    """End this process as by a signal once the one that started it is gone, which would restart it and ends it else."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        log.error("the process that started this worker is gone: it ends")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
