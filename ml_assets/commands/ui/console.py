"""``console``."""

from typing import TYPE_CHECKING, Annotated

import typer

from ml_assets.commands.options import Host, Port
from ml_assets.commands.session import Session, session_of

if TYPE_CHECKING:
    from starlette.applications import Starlette


def console(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 3001,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Further name under which it is called, such as a proxy's; may be given several times."),
    ] = None,
) -> None:
    """Open pages that say which model needs attention and why; they write nothing but what is asked for.

    The keys of `ml-assets keys` are let in: those with the scope read to look, with admin to change. Without any,
    everybody who reaches 127.0.0.1 is, and other addresses are refused.
    """
    from ml_assets.console.running import run_console

    app = make_console(session_of(context), host, name or ())
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    typer.echo(f"Console: http://{shown}:{port}")
    run_console(app, host, port)


def make_console(session: Session, host: str, names: "list[str] | tuple[str, ...]" = ()) -> "Starlette":
    """Make the console of a session's project.

    Raises:
        ValueError: others than this machine can reach the address, and no key is needed; or the keys are gone.
    """
    from datetime import UTC, datetime

    from ml_assets.commands.serving.serve import check_key_file
    from ml_assets.console.opening import open_console
    from ml_assets.serving.access.admission import Admission
    from ml_assets.serving.access.digests import hashed_keys

    home = session.open_home()
    keys = session.open_keys(home)
    check_key_file(session.settings.key_file, keys)
    admission = Admission(hashed_keys(session.settings.api_keys.get_secret_value()), keys)
    return open_console(session.project.folder, home, admission, host, names, lambda: datetime.now(UTC))
