"""What all pages are made of."""

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from starlette.routing import Route

from ml_assets.console import formats
from ml_assets.console.access.guard import HEADERS
from ml_assets.console.discovery import find_pages
from ml_assets.console.links import Link
from ml_assets.console.rendering import path_of, to_json
from ml_assets.console.sparklines import sparkline
from ml_assets.console.static_files import names

from .conftest import HOSTILE


def test_every_page_has_routes_and_the_first_leads_to_all_models():
    pages = find_pages()
    assert pages.links[0].path == "/"
    paths = [(route.path, method) for route in pages.routes for method in route.methods or ()]
    assert len(set(paths)) == len(paths)


def test_a_page_below_another_shows_it_as_current():
    link = Link("Data", "/data", 3)
    assert [link.is_current(path) for path in ("/data", "/data/orders", "/database", "/")] == [True, True, False, False]
    assert not Link("Models", "/", 0).is_current("/data")


def test_a_page_that_is_not_there_says_so(console):
    answer = console().get(f"/{HOSTILE}")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert "<script>alert" not in answer.text


def test_a_page_that_fails_says_so_without_its_reason(console, caplog):
    def fail(_request):
        raise RuntimeError("the password is hunter2")

    answer = console(routes=[Route("/fails", fail)], raise_server_exceptions=False).get("/fails")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "hunter2" in caplog.text
    assert {**answer.headers}.items() >= HEADERS.items()


def test_files_are_kept_for_good_under_an_address_of_their_own(console):
    client = console()
    page = client.get("/").text
    for name in ("console.css", "console.js"):
        assert f"/static/{name}?v=" in page
    for name in {*names(), "plotly.min.js"}:
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    for name in ("..%2Fapp.py", "app.py", "%2Fetc%2Fpasswd"):
        assert client.get(f"/static/{name}").status_code == 404


def get_with_theme(client, theme):
    client.cookies.set("theme", theme)
    return client.get("/").text


def test_only_a_theme_that_there_is_reaches_the_page(console):
    client = console()
    assert "data-theme" not in get_with_theme(client, '"><script>')
    assert 'data-theme="dark"' in get_with_theme(client, "dark")


def test_frames_and_moments_become_json():
    values = {"rows": pl.DataFrame({"a": [1, None]}), "at": datetime(2024, 1, 2, tzinfo=UTC), "s": {"b", "a"}}
    assert to_json(values) == b'{"rows":[{"a":1},{"a":null}],"at":"2024-01-02T00:00:00+00:00","s":["a","b"]}'


def test_names_are_quoted_in_paths():
    assert path_of("models", "a/b?c", '"<') == "/models/a%2Fb%3Fc/%22%3C"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 3, "–"), (math.nan, 3, "–"), (0.5, 3, "0.500"), (12345.678, 1, "12\u202f345.7"),
        (12345, 3, "12\u202f345"),
        (0.00004, 3, "4e-05"), (0.0, 3, "0.000"), (-1.5, 1, "-1.5"),
    ],
)  # fmt: skip
def test_numbers(value, digits, text):
    assert formats.number(value, digits) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (1.0, "100"), (0.001, "< 1"), (0.999, "> 99"), (0.5, "50"), (0.994, "99"), (0.006, "1")],
)
def test_a_share_is_never_rounded_to_none_or_all(share, text):
    assert formats.percent(share) == f"{text}\u202f%"


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(minutes=5), "5 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(days=2), "2 d"),
        (-timedelta(1), "ahead"),
        (timedelta(days=1461), "4 y"),
    ],
)
def test_how_long_ago(before, text):
    now = datetime(2024, 1, 10, tzinfo=UTC)
    assert formats.ago(now - before, now) == text


def test_a_sparkline_has_gaps_where_nothing_is_known_and_its_limit_inside():
    line = sparkline([0.0, 1.0, None, 2.0], limit=4.0)
    assert line.lines == ["2.0,18.0 32.7,14.0", "94.0,10.0"]
    assert (line.last, line.limit) == ((94.0, 10.0), 2.0)
    assert sparkline([3.0, 3.0]).lines == ["2.0,10.0 94.0,10.0"]
    assert sparkline([]).lines == []


def test_what_was_read_is_made_again_when_a_table_changes(stores_of, lake):
    stores, made = stores_of(), []

    def make():
        made.append(lake.version("a") if lake.exists("a") else None)
        return made[-1]

    frame = pl.DataFrame({"x": [1]})
    assert [stores.read("n", ["a"], make) for _ in range(2)] == [None, None]
    lake.replace("a", frame)
    assert [stores.read("n", ["a"], make) for _ in range(2)] == [0, 0]
    lake.append("a", frame)
    assert stores.read("n", ["a"], make) == 1
    assert made == [None, 0, 1]
