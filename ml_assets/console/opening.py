"""The console of a project, with the keys of its servers."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ml_assets.console.access.hosts import is_loopback
from ml_assets.console.app import make_app
from ml_assets.console.stores import Stores
from ml_assets.public.opening import open_project
from ml_assets.serving.access.admission import Admission

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.applications import Starlette

    from ml_assets.home import Home


def open_console(
    folder: "Path", home: "Home", admission: Admission, host: str, named: Sequence[str], clock: Callable[[], datetime]
) -> "Starlette":
    """Open the console of a project.

    Args:
        folder: of the project.
        admission: which keys are let in.
        host: address that is listened on.
        named: further names under which the console is called.
        clock: the moment of a request, in UTC.

    Raises:
        ValueError: others than this machine can reach the address, and no key is needed.
    """
    if not admission.required and not is_loopback(host):
        raise ValueError(
            f"--host {host}: others can reach this address, and no key is declared, so that everybody could look: make "
            "one by `ml-assets keys new`, or listen on 127.0.0.1"
        )
    return make_app(Stores(open_project(folder), clock, home), admission, host, named)
