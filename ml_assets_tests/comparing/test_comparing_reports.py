"""Reports say what was compared, and nothing of the data is more than text in them."""

import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from ml_assets.comparing.drift.shape import shape_of_categories, shape_of_numbers
from ml_assets.comparing.report.document import as_document
from ml_assets.comparing.report.markdown import as_markdown
from ml_assets.comparing.report.page.drawing import draw_numbers
from ml_assets.comparing.report.page.render import as_html
from ml_assets_tests.comparing.tables import compared

CREATED = "2024-05-01T12:00:00+00:00"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "[red]x[/red]",
    "a|b`c\x1b[31m",
]
ROWS = 100


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    reference = pl.DataFrame(
        {
            **{name: [float(number % 9) for number in range(ROWS)] for name in HOSTILE},
            "text": [HOSTILE[number % 4] for number in range(ROWS)],
            "flag": [True, False] * 50,
            "<i>gone</i>": range(ROWS),
            "<b>day</b>": ["2024-01-01"] * ROWS,
            "steady": [float(number % 9) for number in range(ROWS)],
        }
    )
    current = reference.drop("<i>gone</i>").with_columns(
        **{name: pl.col(name) + 4 for name in HOSTILE},
        text=pl.Series([HOSTILE[4], *reference["text"][1:]]),
        flag=pl.Series([None] * 40 + reference["flag"][40:].to_list()),
        extra=pl.lit("<u>new</u>"),
    )
    return compared(tmp_path_factory.mktemp("tables"), reference, current).result


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_shows_names_and_values_as_text_and_loads_nothing(result):
    html = as_html(result, CREATED)
    page = Page(html)
    assert not {"script", "img", "b", "u", "iframe", "link", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    shown = "".join(page.text)
    for name in [*HOSTILE[:4], "<i>gone</i>", "<b>day</b>"]:
        assert name in shown
    assert "\x1b" not in html
    assert "49" not in re.findall(r">([^<]*7 \* 7[^<]*)<", html)[0]


def test_the_page_can_be_read_by_screen_readers_and_in_the_dark(result):
    html = as_html(result, CREATED)
    page = Page(html)
    assert page.tags.count("svg") == len(result.drift) == html.count('role="img" aria-label="Shares of rows by ')
    assert page.tags.count("main") == page.tags.count("h1") == 1
    assert ("lang", "en") in page.attributes
    assert "prefers-color-scheme: dark" in html
    identities = [value for name, value in page.attributes if name == "id"]
    links = [value[1:] for name, value in page.attributes if name == "href"]
    assert sorted(identities) == sorted(links) == sorted(f"c{place}" for place in range(1, len(result.drift) + 1))


def test_the_worst_columns_come_first(result):
    order = [column.drifted for column in result.drift]
    assert order == sorted(order, reverse=True)
    assert [column.name for column in result.drift][-1] == "steady"
    assert set(result.drifted) == {*HOSTILE, "flag"}
    strengths = [column.strength for column in result.drift if column.drifted]
    assert strengths == sorted(strengths, reverse=True)


def test_the_document_is_json_with_every_value(result):
    document = json.loads(json.dumps(as_document(result, CREATED), allow_nan=False))
    assert (document["version"], document["created"], document["passed"]) == (1, CREATED, False)
    assert document["verdict"] == result.verdict
    assert document["contract"]["missing_columns"] == {"<i>gone</i>": "a number"}
    (flag,) = (column for column in document["drift"]["columns"] if column["column"] == "flag")
    assert flag["methods"]["missing"] == {"value": 0.4, "limit": 0.1, "beyond": True}
    assert flag["current"] == {
        "rows": 100, "missing": 40, "distinct": 2, "mean": None, "median": None, "standard_deviation": None,
    }  # fmt: skip
    assert flag["distribution"] == {
        "edges": [],
        "categories": ["false", "true"],
        "reference": [0.5, 0.5],
        "current": [0.5, 0.5],
    }


def test_markdown_has_no_markup_of_the_data(result):
    text = as_markdown(result, CREATED)
    assert "<" not in text.replace("<0.0", "").replace("<0.1%", "")
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.sub(r"\\\|", "", row).split("|")) for row in rows if "PSI" in row or "drifted" in row}) == 1


def test_shapes_are_shares_of_rows_with_a_value():
    shape = shape_of_numbers(np.array([1.0, 1.0, 2.0, 4.0]), np.array([4.0, 4.0]))
    assert shape.edges == (0.5, 1.5, 2.5, 3.5, 4.5)
    assert shape.reference == (0.5, 0.25, 0.0, 0.25)
    assert shape.current == (0.0, 0.0, 0.0, 1.0)
    assert [text for _, text in draw_numbers(shape).ticks] == ["1", "2", "4"]
    many = Counter([f"c{number}" for number in range(12)] + ["c3"])
    shape = shape_of_categories(many, many)
    assert shape.labels[0] == "c3"
    assert shape.labels[-1] == "all others"
    assert sum(shape.reference) == pytest.approx(1.0)
    assert shape.reference[-1] == pytest.approx(2 / 13)
