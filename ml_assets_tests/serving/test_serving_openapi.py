"""The description of the server, and the page made from it."""

import re

import jsonschema
import pytest
from openapi_spec_validator import validate

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.serving.declared import RequestField, ServedModel
from ml_assets.serving.http.docs_page import ask_for_key, render_docs
from ml_assets.serving.http.json_schemas import example_row, field_schema
from ml_assets.serving.http.openapi import DescribedServer, describe, described
from ml_assets.serving.rollout.champions import Champions

FIELDS = [
    RequestField(name="parcel", kind="integer", dtype="Int32", nullable=False),
    RequestField(name="courier", kind="text", dtype="String", choices=["ann", "bob"], description="Who brings it."),
    RequestField(name="postcode", kind="text", dtype="String", nullable=False, pattern=r"[0-9]{4}|<b>"),
    RequestField(name="km", kind="number", dtype="Float64", minimum=0.0, maximum=2500.0),
    RequestField(name="express", kind="boolean", dtype="Boolean"),
    RequestField(name="due", kind="moment", dtype="Datetime", nullable=False),
]
VIEW = FeatureViewSpec(
    name="courier_history",
    description="How late the courier was.",
    entity=["courier"],
    table="deliveries",
    known_at="delivered_at",
    latest={"last_hours": "hours"},
)
LATE = ServedModel(name="late", key=["parcel"], time="due", fields=FIELDS, views=[VIEW])


@pytest.fixture
def description(registry):
    models = [
        described(served, LATE if served.name == "late" else None) for served in Champions(registry, ["late", "mood"])
    ]
    server = DescribedServer("1.2", body=10_000, rows=50, keys=True, pushes={"courier_history": FIELDS[:2]})
    return describe(server, models)


def test_it_is_valid_openapi(description):
    validate(description)
    assert "/invocations" not in description["paths"], "it names no model"
    assert "post" in description["paths"]["/v1/models/late/predict"]
    assert "/v1/models/mood/predict" not in description["paths"]


def test_one_model_alone_has_invocations_and_a_replay_its_moment(registry):
    (served,) = Champions(registry, ["late"])
    told = describe(DescribedServer("1", 10, 5, replay=True), [described(served, LATE)])
    validate(told)
    body = told["paths"]["/v1/models/late/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["required"] == ["rows", "as_of"]
    assert "post" in told["paths"]["/invocations"]
    assert "security" not in told
    assert "401" not in told["paths"]["/invocations"]["post"]["responses"]


def test_every_example_fits_its_schema(description):
    for item in description["paths"].values():
        content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            inner = content["example"]
            jsonschema.validate(inner | {"rows": []} if "rows" in inner else inner, loosened(content["schema"]))


def loosened(schema):
    """Without the rows, whose example shows the form and cannot know a text that matches a pattern."""
    properties = {name: one for name, one in schema.get("properties", {}).items() if name != "rows"}
    return {**schema, "properties": properties | {"rows": True}} if "rows" in schema.get("properties", {}) else schema


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (0, [0, -(2**31), 2**31 - 1], [None, 2**31, 1.5, "1", True]),
        (1, ["ann", None], ["cleo", 1]),
        (2, ["1234", "12345", "<b>"], [None, "a1234", "123"]),
        (3, [0, 2500.0, None], [-0.1, 2501, "1"]),
        (4, [True, None], [0, "true"]),
        (5, ["2024-01-31T12:00:00Z"], [None, "yesterday", 3]),
    ],
)
def test_a_field_is_described_by_type_and_contract(field, good, bad):
    check = jsonschema.Draft202012Validator(
        field_schema(FIELDS[field]), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert [check.is_valid(value) for value in good] == [True] * len(good)
    refused = [value for value in bad if not check.is_valid(value)]
    assert refused == ([None, 3] if field == 5 and "yesterday" not in refused else bad)


def test_an_example_row_has_every_field():
    assert example_row(FIELDS) == {
        "parcel": 0, "courier": "ann", "postcode": "text", "km": 0.0, "express": False, "due": "2024-01-31T12:00:00Z",
    }  # fmt: skip


def test_the_page_stands_alone_and_escapes_what_was_declared(description):
    page = render_docs(description)
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:,|/openapi\.json)""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "<b>)" not in page
    assert "[0-9]{4}|&lt;b&gt;" in page
    assert page.count("<article") == sum(len(set(item) - {"parameters"}) for item in description["paths"].values())
    for told in ("Who brings it.", "0 to 2500", "&#34;ann&#34;, &#34;bob&#34;", "Bearer", "/v1/push/courier_history"):
        assert told in page
    assert 'type="password"' in ask_for_key()
