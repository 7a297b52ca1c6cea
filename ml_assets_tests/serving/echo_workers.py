"""A server in processes of its own: run this with a folder, a port, how many processes, and maybe a certificate."""

import asyncio
import logging
import os
import sys
from pathlib import Path

from ml_assets.serving.http.transport.guarded import ConnectionLimits
from ml_assets.serving.http.transport.running import run_server


def make_app():
    """Answer each request after a while with the process's number; note in the folder which processes have ended."""
    folder = Path(os.environ["ECHO_FOLDER"])
    if (folder / "broken").exists():
        raise ValueError("the app cannot be made")

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            (folder / f"ended-{os.getpid()}").touch()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await asyncio.sleep(1.0 if scope["path"] == "/slow" else 0)
        body = b"%d" % os.getpid()
        head = [(b"content-length", b"%d" % len(body)), (b"x-scheme", scope["scheme"].encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return app


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    folder, port, workers, *files = sys.argv[1:]
    os.environ["ECHO_FOLDER"] = folder
    tls = (Path(files[0]), Path(files[1])) if files else None
    app = make_app() if workers == "1" else "echo_workers:make_app"
    run_server(app, "127.0.0.1", int(port), ConnectionLimits(), workers=int(workers), tls=tls)
    Path(folder, "returned").touch()
