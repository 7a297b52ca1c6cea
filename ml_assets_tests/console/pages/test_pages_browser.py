"""The pages of features, data and predictions in a real browser."""

import pytest

from ml_assets.console.app import make_app
from ml_assets.console.stores import Stores
from ml_assets.serving.access.admission import Admission
from ml_assets_tests.browsers import open_browser, open_page
from ml_assets_tests.threads import ThreadedServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(shop):
    """A console of the shop as a real server; gives its address."""
    moment = shop.lake.written_at("orders/raw")
    stores = Stores(shop.project, lambda: moment)
    stores.registry = shop.registry
    with ThreadedServer(make_app(stores, Admission())) as server:
        yield server.address


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(browser):
    opened = open_page(browser)
    yield opened
    opened.close()


def fits(page) -> bool:
    """Whether a page scrolls down alone, once its charts have followed a new width."""
    for _ in range(100):
        if page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
            return True
        page.wait_for_timeout(50)
    return False


def test_pages_load_nothing_else_draw_their_charts_and_fit_a_telephone(page, address, shop, about):
    row = f"/predictions?model=returns&key={shop.key()[0]}"
    paths = ["/features", "/features/history/spent_sum_28d", "/data", "/data/orders?drop=2024-02"]
    for path in [*paths, "/data/orders/quarantine", "/predictions?model=returns", f"{row}&feature=spent_sum_28d"]:
        page.set_viewport_size({"width": 1200, "height": 1000})
        page.goto(address + path, wait_until="load")
        if path.startswith("/features/"):
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            assert page.locator(".js-plotly-plot").count() == 2
        page.set_viewport_size({"width": 390, "height": 800})
        assert fits(page), f"{path} scrolls sideways"
    assert about.hostile in page.inner_text("main")
    assert page.wrong == []
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []


def test_a_row_is_changed_by_the_form_without_javascript(browser, address, shop):
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(f"{address}/predictions?model=returns&key={shop.key()[0]}&scored=batch")
    plain.fill("[name='set.price']", "1.5")
    plain.get_by_role("button", name="Score the changed row").last.click()
    assert plain.url.endswith("&set.price=1.5")
    assert "set." not in plain.url.removesuffix("&set.price=1.5")
    assert plain.get_by_role("heading", name="What if").is_visible()
    plain.get_by_role("link", name="Take the changes back").click()
    assert plain.get_by_role("heading", name="What if").count() == 0
