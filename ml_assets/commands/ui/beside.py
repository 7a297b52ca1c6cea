"""The console beside another program."""

import typer

from ml_assets.commands.session import Session

HOST = "127.0.0.1"


def open_beside(session: Session, port: int) -> None:
    """Open the console in a thread of this process; where its port is taken, say so and go on without."""
    from ml_assets.commands.ui.console import make_console
    from ml_assets.console.running import listen, run_beside

    try:
        listening = listen(HOST, port)
    except OSError as error:
        typer.echo(f"The console is not opened: port {port} of {HOST}: {error.strerror}; --console-port names another")
        return
    run_beside(lambda: make_console(session, HOST), listening)
    typer.echo(f"Console: http://{HOST}:{port}")
