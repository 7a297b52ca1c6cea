"""The description of the server, and the page made from it."""

import re

import jsonschema
import pytest
from openapi_spec_validator import validate

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.serving.declared import OnlineView, RequestField, ServedModel
from ml_assets.serving.http.docs import ASSETS, page, read_asset
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.openapi import describe, described_model
from ml_assets.serving.protocols.adapter import ProtocolLimits
from ml_assets.serving.protocols.fields import example_row, json_schema, row_record
from ml_assets.serving.protocols.registry import served_protocols
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
        described_model(served, LATE if served.name == "late" else None)
        for served in Champions(registry, ["late", "mood"])
    ]
    online = {"courier_history": OnlineView(view=VIEW, fields=FIELDS[:2])}
    return describe(models, served_protocols(ProtocolLimits(rows=50)), online, Limits(10_000, 50), keys=True)


def test_it_is_valid_openapi(description):
    validate(description)
    assert "/invocations" not in description["paths"], "it names no model"
    assert "post" in description["paths"]["/v1/models/late/predict"]
    assert "/v1/models/mood/predict" not in description["paths"]


def test_one_model_alone_has_invocations_and_a_replay_its_moment(registry):
    (served,) = Champions(registry, ["late"])
    protocols = served_protocols(ProtocolLimits(rows=5, replay=True))
    told = describe([described_model(served, LATE)], protocols, {}, Limits(10, 5, replay=True))
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
    row = json_schema(row_record("row", [FIELDS[field]]))
    check = jsonschema.Draft202012Validator(
        row["properties"][FIELDS[field].name], format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert [check.is_valid(value) for value in good] == [True] * len(good)
    refused = [value for value in bad if not check.is_valid(value)]
    assert refused == ([None, 3] if field == 5 and "yesterday" not in refused else bad)


def test_an_example_row_has_every_field():
    assert example_row(FIELDS) == {
        "parcel": 0, "courier": "ann", "postcode": "text", "km": 0.0, "express": False, "due": "2024-01-31T12:00:00Z",
    }  # fmt: skip


def test_what_was_declared_is_described(description):
    body = description["paths"]["/v1/models/late/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = body["schema"]["properties"]["rows"]["items"]["properties"]
    assert row["courier"]["description"] == "Who brings it."
    assert row["postcode"]["pattern"] == "^(?:[0-9]{4}|<b>)"
    assert "/v1/push/courier_history" in description["paths"]
    assert description["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}


def test_each_model_is_described_by_its_own_features(description):
    late, mood = (
        description["paths"][f"/v2/models/{name}/infer"]["post"]["responses"]["200"]["content"]["application/json"]
        for name in ("late", "mood")
    )
    names = [
        [one["properties"]["name"]["const"] for one in told["schema"]["properties"]["outputs"]["items"]["anyOf"]]
        for told in (late, mood)
    ]
    assert names == [
        ["score", "prediction", "prediction"],  # as it is, and as the most probable classes
        ["score", "prediction", "probability_calm", "probability_cross", "probability_glad", "prediction"],
    ]


def test_the_page_loads_nothing_from_elsewhere():
    loaded = re.findall(r"""(?:src|href)=["']([^"']*)""", page())
    assert [one for one in loaded if one != "data:,"] == [f"/docs/{name}" for name in (
        "swagger-ui.css", "docs.css", "swagger-ui-bundle.js", "docs.js")]  # fmt: skip
    assert all(len(read_asset(name)[0]) > 100 for name in ASSETS)
    assert 'type="password"' in page()
