"""The pages in a real browser, over a made-up fleet: nothing goes wrong, everybody can use them, and they say what the
lake holds.

A page is a line of PAGES.
"""

import pytest

from ml_assets.console.app import make_app
from ml_assets.lake import Lake
from ml_assets.serving.access.admission import Admission
from ml_assets_tests.browsers import open_browser, open_page
from ml_assets_tests.threads import ThreadedServer

from .conftest import open_stores_over
from .fleet import make_fleet, realised

pytestmark = pytest.mark.slow

PAGES = [
    "/",
    "/?state=performance",
    "/models/model_003",
    "/models/model_003/drops/2024-01-12",
    "/models/model_007",
    "/features",
    "/data",
    "/predictions",
    "/decisions",
    "/replays",
    "/experiments",
    "/nothing",
]
"""Addresses that are looked at, of pages that need no more than the fleet's declarations and lake."""

DROPS = 12
GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    lake = Lake(str(tmp_path_factory.mktemp("fleet")))
    return lake, make_fleet(lake, models=8, drops=DROPS)


@pytest.fixture(scope="module")
def address(fleet):
    """A console as a real server; gives its address."""
    lake, made = fleet
    app = make_app(open_stores_over(lake, *made.declared, now=made.now), Admission())
    with ThreadedServer(app, lifespan="off") as server:
        yield server.address


@pytest.fixture(scope="module")
def page():
    with open_browser() as browser:
        yield open_page(browser, viewport={"width": 1280, "height": 900}, color_scheme="light")


def grave_faults(page):
    """What axe-core finds that keeps somebody from using the page: rule and element."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(fault["id"], node["target"]) for fault in found if fault["impact"] in GRAVE for node in fault["nodes"]]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_without_a_fault_and_everybody_can_use_it(page, address, path):
    page.wrong.clear()
    status = page.goto(f"{address}{path}").status
    assert status == (404 if path == "/nothing" else 200)
    assert grave_faults(page) == []
    assert [text for text in page.wrong if "404" not in text] == []
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []


def test_dark_is_as_readable_as_light_and_stays(page, address):
    page.goto(f"{address}/models/model_003")
    page.click("#theme")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.goto(f"{address}/")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert grave_faults(page) == []
    page.click("#theme")


def test_the_page_says_what_the_lake_holds(page, address, fleet):
    lake, _ = fleet
    page.goto(f"{address}/models/model_003")
    page.locator("#life.js-plotly-plot").wait_for()
    drawn = page.evaluate("document.getElementById('life').data.find(t => t.name === 'roc_auc realised').y")
    stored = lake.scan("model_003/performance_report").filter(kind="realised").sort("_drop").collect()
    assert drawn == stored["value"].to_list() == pytest.approx(realised("performance", DROPS))
    table = page.locator("table", has=page.locator("caption", has_text="Drops"))
    shown = [text.split("\n")[0] for text in table.locator("tbody tr td:nth-child(4)").all_inner_texts()]
    assert shown == [f"{value:.3f}" for value in reversed(stored["value"].to_list())]


def test_a_point_opens_its_evidence(page, address):
    page.goto(f"{address}/models/model_003")
    page.locator("#life.js-plotly-plot").wait_for()
    point = {"points": [{"customdata": "/models/model_003/drops/2024-01-12"}]}
    page.evaluate("point => document.getElementById('life').emit('plotly_click', point)", point)
    page.wait_for_url("**/drops/2024-01-12")


def test_the_keyboard_reaches_the_content_first(page, address):
    page.goto(f"{address}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
