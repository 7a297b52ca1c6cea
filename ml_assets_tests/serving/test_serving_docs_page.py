"""The page of routes in a real browser: it stands alone, and its forms ask the server."""

import hashlib

import pytest

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets_tests.browsers import open_browser, open_page

pytestmark = pytest.mark.slow


@pytest.fixture
def serve(registry, declared, store, noon, run_server):
    """Opens a real server on a free port; gives its address."""

    def open_server(**limits):
        return (
            f"http://{run_server(make_app(registry, ['late'], Limits(**limits), declared, store, clock=lambda: noon))}"
        )

    return open_server


@pytest.fixture
def page():
    with open_browser() as browser:
        yield open_page(browser)


def send(page, path):
    """Open a route and send its request as the page fills it in; gives the status and the body that are shown."""
    route = page.locator(".opblock").filter(has=page.locator(f"[data-path='{path}']"))
    route.locator(".opblock-summary-control").click()
    version = route.locator("tr[data-param-name='version'] select")
    if version.count():
        version.select_option("1")
    route.locator("button.execute").click()
    answer = route.locator(".live-responses-table .response").first
    answer.wait_for(state="visible")
    return answer.locator(".response-col_status").inner_text(), answer.locator(".response-col_description").inner_text()


def test_every_form_gets_an_answer_and_nothing_else_is_asked(page, serve, tmp_path):
    address = serve()
    page.goto(f"{address}/docs")
    page.locator(".opblock").first.wait_for()
    status, answer = send(page, "/v1/models/late/predict")
    assert status.startswith("200")
    assert '"state": "fresh"' in answer
    paths = ["/v2/models/late/infer", "/v2/models/late/versions/{version}", "/invocations", "/v1/push/route"]
    assert [send(page, path)[0][:3] for path in paths] == ["200"] * len(paths)
    assert page.wrong == []
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []
    page.screenshot(path=tmp_path / "docs.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling"


def test_with_a_key_the_page_is_shown_and_asks_with_it(page, serve):
    address = serve(keys=(hashlib.sha256(b"one").hexdigest(),))
    page.goto(f"{address}/docs")
    page.fill("#key", "two")
    page.click("#enter button")
    page.get_by_text("not a known key").wait_for()
    assert page.locator(".opblock").count() == 0
    page.fill("#key", "one")
    page.click("#enter button")
    page.get_by_text("/v1/models/late/predict").first.wait_for()
    assert send(page, "/invocations")[0].startswith("200")
