"""Dagster's and MLflow's pages over a finished lifecycle, as a person sees them in Chromium."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from ml_assets_tests.browsers import open_browser, open_page

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
START = 90  # seconds until a server answers
LOOPBACK = "0100007F"


@pytest.fixture(scope="module")
def page():
    with open_browser() as browser:
        yield open_page(browser, viewport={"width": 1600, "height": 1100})


@pytest.fixture(scope="module")
def dagster_ui(finished) -> Iterator[str]:
    with served("ui", finished[0], "/server_info") as address:
        yield address


@pytest.fixture(scope="module")
def mlflow_ui(finished) -> Iterator[str]:
    with served("mlflow", finished[0], "/health") as address:
        yield address


@contextmanager
def served(command: str, home: Path, ready: str) -> Iterator[str]:
    """Run `ml-assets <command>` on a free port until the block ends; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, log = f"http://127.0.0.1:{port}", home / f"{command}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "ml-assets"), command, "--port", str(port)],
            cwd=PROJECT,
            env={**os.environ, "ML_ASSETS_HOME": str(home)},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START
        while not answers(address + ready):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as reply:
            return reply.status == 200
    except (URLError, TimeoutError, ConnectionError):
        return False


def listening_addresses(url: str) -> set[str]:
    """Hexadecimal local addresses that listen on the port of a URL, as Linux tells them."""
    port = f"{int(url.rpartition(':')[2]):04X}"
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        if (path := Path("/proc/net") / table).exists()
        for line in path.read_text().splitlines()[1:]
    ]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {address for address, its_port in listening if its_port == port}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_both_servers_listen_on_the_loopback_address_alone(dagster_ui, mlflow_ui):
    assert listening_addresses(dagster_ui) == {LOOPBACK}
    assert listening_addresses(mlflow_ui) == {LOOPBACK}


def test_dagster_draws_the_graph_of_every_group(dagster_ui, page):
    groups = {
        "flights": ("quarantine", "flight_legs", "origin_queue", "training_set", "champion", "performance_report"),
        "digits": ("quarantine", "blocks", "ink", "training_set", "champion", "performance_report"),
    }
    page.set_viewport_size({"width": 1600, "height": 4000})  # what lies outside is not drawn
    for group, assets in groups.items():
        page.goto(f"{dagster_ui}/locations/ml_assets/asset-groups/{group}/lineage", wait_until="domcontentloaded")
        for asset in assets:
            drawn = page.get_by_text(asset, exact=True).first
            drawn.wait_for()
            assert drawn.is_visible(), asset


def test_dagster_shows_a_drift_report_with_its_plot_and_its_check(dagster_ui, page):
    asset = f"{dagster_ui}/assets/flight_delay/drift_report"
    page.goto(f"{asset}?view=events", wait_until="domcontentloaded")
    page.get_by_text("strongest_feature").first.wait_for()
    page.get_by_text("[Show Markdown]").nth(0).click()
    plot = page.get_by_role("img", name="PSI by week and feature")
    plot.wait_for()
    assert plot.evaluate("image => image.complete && image.naturalWidth") > 400
    page.goto(f"{asset}?view=checks", wait_until="domcontentloaded")
    page.get_by_text("population stability index").first.wait_for()
    page.get_by_text("threshold", exact=True).first.wait_for()


def test_dagster_lists_the_runs_of_the_lifecycle(dagster_ui, page):
    page.goto(f"{dagster_ui}/runs", wait_until="domcontentloaded")
    page.get_by_text("Success").nth(2).wait_for()
    assert page.get_by_text("Failure", exact=True).count() == 0


def test_mlflow_opens_at_the_trainings_with_their_data_and_what_they_are(mlflow_ui, finished, page):
    told = (finished[0] / "mlflow.log").read_text().partition("Trainings: ")[2].split()[0]
    assert told.startswith(f"{mlflow_ui}/#/experiments/")
    page.goto(told, wait_until="domcontentloaded")
    for shown in ("Trainings of the models", "Run Name", "Dataset", "Source"):
        page.get_by_text(shown).first.wait_for()
    page.get_by_text("flight_delay/training_set").first.wait_for()
    page.get_by_text("flights/flight_delay").first.wait_for()
    # The mode for generative models has them.
    assert page.get_by_text("Prompts", exact=True).count() == 0


def test_mlflow_shows_the_champion(mlflow_ui, page):
    page.goto(f"{mlflow_ui}/#/models/flight_delay", wait_until="domcontentloaded")
    version, alias = page.get_by_text("Version 1").first, page.get_by_text("champion").first
    version.wait_for()
    alias.wait_for()
    assert version.is_visible()
    assert alias.is_visible()
