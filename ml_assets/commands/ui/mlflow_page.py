"""Where MLflow shows the trainings."""

import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
import webbrowser

from ml_assets.addresses import without_secrets
from ml_assets.registry.registry import Registry

WAIT_SECONDS = 60


def training_page(registry: Registry, server: str) -> str:
    """Return the address of the experiment's runs, without a password.

    It is of the mode for machine learning: MLflow begins in another.
    """
    shown = without_secrets(server).rstrip("/")
    return f"{shown}/#/experiments/{registry.experiment_id}/runs?workflowType=machine_learning"


def open_when_there(page: str) -> None:
    """Open a page in a browser as soon as its server answers, from a process of its own."""
    subprocess.Popen([sys.executable, "-m", __name__, page], start_new_session=True)


def _wait_for(server: str) -> None:
    """Return when the server answers, or after WAIT_SECONDS."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    def call() -> None:
        with contextlib.suppress(urllib.error.HTTPError):  # an answer as well
            urllib.request.urlopen(server, timeout=5).close()

    with contextlib.suppress(OSError):
        Retrying(
            stop=stop_after_delay(WAIT_SECONDS),
            wait=wait_fixed(0.5),
            retry=retry_if_exception_type(OSError),
            reraise=True,
        )(call)


if __name__ == "__main__":
    _wait_for(sys.argv[1].partition("#")[0])
    webbrowser.open(sys.argv[1])
