"""Applications served on a free port of this machine, by a thread of the tests."""

import threading
import time

import uvicorn


class ThreadedServer:
    """A real server that runs until `stop`; it answers when it is made.

    Attributes:
        where: its host and port.
    """

    def __init__(self, app: object, **options: object) -> None:
        """Start it.

        Args:
            options: of uvicorn.
        """
        self.server = uvicorn.Server(uvicorn.Config(app, **{"port": 0, "log_level": "error"} | options))
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.where: tuple[str, int] = self.server.servers[0].sockets[0].getsockname()

    @property
    def address(self) -> str:
        return f"http://{self.where[0]}:{self.where[1]}"

    def end(self) -> None:
        """Let it end, without waiting for that."""
        self.server.should_exit = True

    def stop(self) -> None:
        """End it."""
        self.end()
        self._thread.join()

    def __enter__(self) -> "ThreadedServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
