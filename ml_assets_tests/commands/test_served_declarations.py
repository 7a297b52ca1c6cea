"""A server is told of declarations what requests must hold."""

from textwrap import dedent

import polars as pl
import pytest

from ml_assets.automation.projects import declared_in
from ml_assets.commands.init.project import create_project
from ml_assets.commands.serving.served import declarations
from ml_assets.commands.serving.stream_job import tables_of
from ml_assets.lake import Lake
from ml_assets.project import load_project
from ml_assets.serving.declared import Declarations

NAME = "parcel_post"
DECLARED = """\
type: ml_assets.Source
attributes:
  name: parcels
  description: One row per parcel.
  where: {path: parcels.csv}
  contract: "parcel_post.contracts:Parcels"
  key_columns: [id]
  drops: {grain: monthly, column: sent_at, start: "2024-01"}
---
type: ml_assets.Spine
attributes:
  name: parcels
  table: parcels/validated
  key: [id, sent_at]
  time: sent_at
  partition: _drop
  drops: {grain: monthly, start: "2024-01"}
---
type: ml_assets.FeatureView
attributes:
  name: parcel
  description: The parcel itself.
  spine: parcels
  entity: [id]
  request: {heavy: kg > 5, fast: express, hour: EXTRACT(hour FROM sent_at)}
---
type: ml_assets.FeatureView
attributes:
  name: courier
  description: What the courier did before.
  spine: parcels
  entity: [courier]
  table: parcels/validated
  known_at: arrived_at
  windows: [7d]
  aggregates: {late: {of: CAST(late AS DOUBLE), functions: [mean]}}
  online: {max_age: 2d}
---
type: ml_assets.FeatureView
attributes:
  name: town
  description: What the town did before.
  spine: parcels
  entity: [town]
  table: parcels/validated
  known_at: arrived_at
  windows: [7d]
  aggregates: {town_late: {of: CAST(late AS DOUBLE), functions: [mean]}}
---
type: ml_assets.MLModel
attributes: &model
  name: late
  description: Whether a parcel is late.
  task: binary
  spine: parcels
  label: {column: late, known_at: arrived_at}
  features: [parcel, courier]
  split: {validation: 14d, holdout: 14d, gap: 3d}
  serving: {canary: 0.25, log: {mode: windowed, window_seconds: 0.2}}
---
type: ml_assets.MLModel
attributes:
  name: late_by_town
  description: Whether a parcel is late.
  task: binary
  spine: parcels
  label: {column: late, known_at: arrived_at}
  features: [parcel, town]
  split: {validation: 14d, holdout: 14d, gap: 3d}
"""
CONTRACT = """\
import pandera.polars as pa
import polars as pl


class Parcels(pa.DataFrameModel):
    id: pl.Int64 = pa.Field(gt=0, description="Number of the parcel")
    courier: pl.String = pa.Field(isin=["ann", "bob"])
    town: pl.String = pa.Field(str_matches="^[A-Z]")
    kg: pl.Float64 = pa.Field(nullable=True, in_range={"min_value": 0, "max_value": 30, "include_min": False})
    express: pl.Boolean
    sent_at: pl.Datetime("us", "UTC")
    arrived_at: pl.Datetime("us", "UTC") = pa.Field(nullable=True)
    late: pl.Boolean = pa.Field(nullable=True)

    @pa.check("kg")
    def whole_grams(cls, data):
        return data.lazyframe.select(pl.col("kg") * 1000 % 1 == 0)
"""
MOMENT = pl.Datetime("us", "UTC")
ROWS = pl.DataFrame(
    schema={
        "id": pl.Int64, "courier": pl.String, "town": pl.String, "kg": pl.Float64, "express": pl.Boolean,
        "sent_at": MOMENT, "arrived_at": MOMENT, "late": pl.Boolean, "_drop": pl.String,
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the declarations of a project are told as, by the type that a column has in the lake."""
    folder = tmp_path_factory.mktemp("post") / NAME
    create_project(folder)
    (folder / NAME / "contracts.py").write_text(CONTRACT)
    written = folder / NAME / "defs" / "post" / "defs.yaml"
    written.parent.mkdir(parents=True)
    written.write_text(dedent(DECLARED))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("ML_ASSETS_HOME", str(folder / "home"))
        project = declared_in(load_project(folder / NAME / "definitions.py"))

        def tell(names, **types):
            lake = Lake(str(folder / f"lake-{'-'.join(types)}"))
            lake.replace("parcels/validated", ROWS.cast(types))
            return declarations(project, lake, names)

        def taking(use_case, *types):
            lake = Lake(str(folder / f"taking-{'-'.join(types)}"))
            if types:
                lake.replace("parcels/validated", ROWS)
            return tables_of(project, use_case, lake)

        tell.taking = taking
        tell.nowhere = lambda names: declarations(project, Lake(str(folder / "empty")), names)
        yield tell


def test_a_request_gives_key_entities_and_what_is_read_with_the_ranges_of_the_contract(told):
    model = told(["late"]).models["late"]
    assert (model.key, model.time, model.serving.canary) == (["id"], "sent_at", 0.25)
    assert (model.serving.log.mode, model.serving.log.window_seconds) == ("windowed", 0.2)
    fields = {field.name: field.model_dump(exclude={"name"}, exclude_defaults=True) for field in model.fields}
    assert list(fields) == ["id", "kg", "express", "courier"], "the moment of a request is its time"
    assert fields["id"] == {
        "kind": "integer", "dtype": "Int64", "nullable": False, "minimum": 1.0, "description": "Number of the parcel",
    }  # fmt: skip
    assert fields["kg"] == {"kind": "number", "dtype": "Float64", "minimum": 5e-324, "maximum": 30.0}
    assert fields["express"] == {"kind": "boolean", "dtype": "Boolean", "nullable": False}
    assert fields["courier"] == {"kind": "text", "dtype": "String", "nullable": False, "choices": ["ann", "bob"]}
    assert [view.name for view in model.views] == ["parcel", "courier"]


def test_views_that_are_online_take_facts_of_their_tables_columns(told):
    online = told(["late"]).online
    assert list(online) == ["courier"]
    assert [(field.name, field.kind) for field in online["courier"].fields] == [
        ("courier", "text"), ("arrived_at", "moment"), ("late", "boolean"),
    ]  # fmt: skip


def test_a_table_takes_rows_under_the_contract_of_its_source(told):
    (table,) = told(["late"]).tables.values()
    assert (table.table, [view.name for view in table.views]) == ("parcels/validated", ["courier"])
    assert (table.contract, table.key, table.ahead_seconds) == ("parcel_post.contracts:Parcels", ["id"], 300.0)
    # The columns of the contract, with its limits: a row of the source.
    assert [field.name for field in table.fields] == [
        "id", "courier", "town", "kg", "express", "sent_at", "arrived_at", "late",
    ]  # fmt: skip
    assert table.fields[1].choices == ["ann", "bob"]


def test_why_a_model_takes_features_only(told):
    declared = told(["late", "late_by_town", "nobody"])
    assert list(declared.models) == ["late"]
    assert declared.unready == {
        "late_by_town": "its views town are not online: declare `online:` for them",
        "nobody": "it is not declared in this project",
    }
    (reason,) = told.nowhere(["late"]).unready.values()
    assert "table 'parcels/validated' is not in the lake" in reason
    (reason,) = told(["late"], kg=pl.Decimal(10, 2)).unready.values()
    assert reason.startswith("column kg is Decimal(precision=10, scale=2), which a request cannot hold")


def test_declarations_reach_another_process_as_they_are(told):
    declared = told(["late", "nobody"])
    assert Declarations.model_validate_json(declared.model_dump_json()) == declared


def test_a_stream_feeds_the_tables_of_its_use_case(told):
    assert list(told.taking("post", "there")) == ["parcels/validated"]
    with pytest.raises(ValueError, match="post: no table takes facts: declare `online:`"):
        told.taking("post")
    with pytest.raises(ValueError, match="no use case 'shop' under defs/; there are post"):
        told.taking("shop", "there")
