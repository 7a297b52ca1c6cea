"""The pages of features, data and predictions as a browser gets them."""

import io
import re
from html.parser import HTMLParser
from itertools import chain
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import polars as pl
import pytest
from starlette.testclient import TestClient

from ml_assets.console.app import make_app
from ml_assets.console.stores import Stores
from ml_assets.serving.access.admission import Admission


@pytest.fixture(scope="module")
def client(shop, request):
    stores = Stores(shop.project, lambda: request.getfixturevalue("now"))
    stores.registry = shop.registry
    return TestClient(make_app(stores, Admission()), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def now(shop):
    return shop.lake.written_at("orders/raw")


@pytest.fixture(scope="module")
def paths(shop, hostile) -> SimpleNamespace:
    key = shop.key(0)[0]
    batch = f"/predictions?model=returns&key={key}&scored=batch"
    return SimpleNamespace(
        features="/features",
        search="/features?q=<script>&order=name",
        feature="/features/history/spent_sum_28d",
        hostile=f"/features/history/{quote(f'who {hostile}', safe='')}",
        derived="/features/history/per_order",
        sources="/data",
        source="/data/orders?drop=2024-02",
        table="/data/orders/validated",
        quarantine="/data/orders/quarantine?text=script",
        choose="/predictions",
        recent="/predictions?model=returns",
        served=f"/predictions?model=returns&key={key}",
        batch=batch,
        path=f"{batch}&feature=spent_sum_28d",
        what_if=f"{batch}&" + urlencode({"set.price": "1", f"set.who {hostile}": hostile}),
    )


@pytest.fixture(scope="module")
def hostile(shop) -> str:
    return shop.orders["customer"][0]


NAMES = (
    "features", "search", "feature", "hostile", "derived", "sources", "source", "table", "quarantine", "choose",
    "recent", "served", "batch", "path", "what_if",
)  # fmt: skip


class Page(HTMLParser):
    """Which elements a page has, and in which."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_can_be_read_by_everybody_and_runs_nothing_of_the_data(client, paths, hostile, name):
    answer = client.get(getattr(paths, name))
    page = Page(answer.text)
    assert answer.status_code == 200
    assert hostile not in answer.text
    assert [
        script for script in page.all("script") if "src" not in script and script.get("type") != "application/json"
    ] == []
    assert len(page.all("caption")) == len(page.all("table"))
    assert {head.get("scope") for head in page.all("th")} <= {"col", "row"}
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert sorted(set(identifiers)) == sorted(identifiers)
    labelled = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert {*labelled} <= {*identifiers}
    assert all(
        "aria-label" in field or field.get("type") == "hidden" or _labelled(answer.text, field)
        for field in page.all("input")
    )


def _labelled(text: str, field: dict) -> bool:
    label = r"<label>[^<]*<input [^>]*name=\"{}\""
    return re.search(label.format(re.escape(field["name"])), text) is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_there_as_json_too(client, paths, name):
    address = getattr(paths, name)
    answer = client.get(address + ("&" if "?" in address else "?") + "format=json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()


def test_hostile_names_are_shown_as_they_are(client, paths):
    for name in ("features", "feature", "hostile", "quarantine", "batch", "what_if", "path"):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in client.get(getattr(paths, name)).text


def test_the_links_of_a_page_lead_somewhere(client, paths):
    for name in ("features", "hostile", "sources", "source", "quarantine", "recent", "batch", "path"):
        page = Page(client.get(getattr(paths, name)).text)
        leads = {
            link["href"] for link in page.all("a") if link["href"].startswith(("/features/", "/data/", "/predictions"))
        }
        for address in sorted(leads)[:6]:
            assert client.get(address).status_code == 200, address


def test_a_list_too_long_for_a_page_is_cut_in_pages(client, monkeypatch):
    monkeypatch.setattr("ml_assets.console.pages.feature.page.PAGE", 3)
    pages = [client.get(f"/features?order=name&page={page}&format=json").json() for page in (1, 2, 3, 99)]
    names = [[line["name"] for line in page["lines"]] for page in pages[:3]]
    assert [len(those) for those in names] == [3, 3, 3]
    together = list(chain.from_iterable(names))
    assert together == sorted(together)
    assert pages[3]["page"] == 3
    assert 'rel="next"' in client.get("/features?page=2").text


def test_a_name_that_nothing_bears_is_answered_by_the_nearest(client):
    for path, nearest in (
        ("/features/histori/x", "did you mean history?"),
        ("/data/order/validated", "did you mean orders/validated?"),
        ("/data/nothing/quarantine", "no source nothing; did you mean"),
        ("/predictions?model=return", "did you mean returns?"),
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert nearest.removesuffix(" did you mean") in answer.text or "there are orders" in answer.text


def test_a_drop_that_is_none_is_said_to_be_none(client):
    assert "There is no drop 2031-01" in client.get("/data/orders?drop=2031-01").text


def test_the_quarantine_is_downloaded_as_it_is_filtered(client, shop, hostile):
    held = shop.lake.scan("orders/quarantine").filter(pl.col("customer") == hostile).collect()
    query = urlencode({"column": "customer", "text": hostile})
    parquet = client.get(f"/data/orders/quarantine.parquet?{query}")
    read = pl.read_parquet(io.BytesIO(parquet.content))
    assert sorted(read["id"]) == sorted(held["id"])
    text = client.get(f"/data/orders/quarantine.csv?{query}")
    assert text.headers["content-disposition"] == 'attachment; filename="orders-quarantine.csv"'
    assert pl.read_csv(io.BytesIO(text.content))["id"].sort().to_list() == sorted(held["id"])
    everything = client.get("/data/orders/quarantine.csv").text
    assert "'=1+1" in everything
    assert not re.search(r"(^|,)=1\+1", everything, re.MULTILINE)


def test_a_filter_that_cannot_be_meant_is_answered_by_what_there_is(client):
    page = client.get("/data/orders/quarantine?column=colour&text=x")
    assert page.status_code == 400
    assert "column &#39;colour&#39;: is not shown; there are" in page.text
    assert client.get("/data/orders/quarantine.csv?column=colour&text=x").status_code == 400
    assert client.get("/data/orders/quarantine?page=none").status_code == 400


def test_what_releases_rows_is_said_plainly(client, paths):
    text = client.get(paths.quarantine).text
    assert "There is no command that releases rows by themselves." in text
    assert "orders/validated" in text


def test_a_form_without_changes_leads_to_the_address_without_them(client, paths):
    answer = client.get(f"{paths.batch}&set.price=&set.spent_sum_28d=3", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{paths.batch}&set.spent_sum_28d=3"


def test_a_mistake_in_what_is_changed_is_told_on_the_page(client, paths):
    answer = client.get(f"{paths.batch}&set.price=dear&set.cost=1")
    assert answer.status_code == 400
    assert "what if: price: &#39;dear&#39; is no number; null stands for no value; cost is no feature" in answer.text
    assert "how each moved the score" in answer.text


def test_a_prediction_that_is_unknown_leads_back_to_the_choice(client):
    answer = client.get("/predictions?model=returns&key=7")
    assert answer.status_code == 404
    assert "no prediction of returns is known for 7" in answer.text
    assert "key: &#39;x&#39; is no Int64 for column id" in client.get("/predictions?model=returns&key=x").text


def test_what_the_pages_say_is_what_the_lake_says(client, shop, paths):
    said = client.get(f"{paths.batch}&format=json").json()["prediction"]
    stored = shop.lake.scan("returns/predictions").filter(pl.col("id") == int(shop.key(0)[0])).collect()
    assert said["answer"]["values"]["score"] == pytest.approx(stored["score"][0])
    assert said["same_features"] is True
    (line,) = client.get("/data?format=json").json()["sources"]
    assert line["rows"] == shop.lake.scan("orders/raw").collect().height
    table = client.get(f"{paths.table}?format=json").json()["table"]
    assert (table["rows"], [column["name"] for column in table["columns"]]) == (shop.orders.height, shop.orders.columns)


def test_private_values_are_in_no_form_of_a_page(client, shop, paths, hostile, monkeypatch):
    monkeypatch.setattr("ml_assets.quality.contracts.private_columns", lambda _: frozenset({"customer"}))
    march = shop.features.filter(pl.col("_drop") == "2024-03")
    ann = march.filter(pl.col("customer") == "ann")["id"][0]
    address = f"/predictions?model=returns&key={ann}"
    for asked in ("", "&feature=spent_sum_28d", f"&feature={quote(f'who {hostile}', safe='')}", "&set.price=1"):
        for form in ("", "&format=json"):
            text = client.get(address + asked + form).text
            assert "spent_sum_28d" in text
            assert not re.search(r"\bann\b", text), (asked, form)
    feature = client.get(f"{paths.hostile}?format=json").text
    assert not re.search(r"\bann\b", feature)
