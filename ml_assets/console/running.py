"""The console's server."""

import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

log = logging.getLogger(__name__)


def run_console(app: "Starlette", host: str, port: int) -> None:
    """Serve until interrupted.

    Raises:
        OSError: the port is taken.
    """
    listening = listen(host, port)
    _server(app).run(sockets=[listening])


def run_beside(make: "Callable[[], Starlette]", listening: socket.socket) -> None:
    """Serve in a thread of this process, until it ends."""
    threading.Thread(target=lambda: _server(make()).run(sockets=[listening]), name="console", daemon=True).start()


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        OSError: the port is taken, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family)


def _server(app: "Starlette") -> "uvicorn.Server":
    import uvicorn

    return uvicorn.Server(uvicorn.Config(app, access_log=False, server_header=False, ws="none", log_level="warning"))
