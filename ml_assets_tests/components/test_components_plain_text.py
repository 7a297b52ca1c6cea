"""Text in a declaration means itself, whatever Python would read in it."""

import polars as pl
import pytest

from ml_assets.commands.init.project import create_project
from ml_assets.components.project.tree import ProjectTree
from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import ExistingDeclarations
from ml_assets.scaffolding.document import render_document
from ml_assets.scaffolding.spine import infer_spine
from ml_assets.scaffolding.view import infer_view
from ml_assets.sources.spec import SourceSpec

NAMES = ["select", "order", "a,b", "{p}", "group by", "km[0]", "1.0", "None", 'say "hi"', "plain"]


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads the components that YAML documents declare."""

    def components(name, text):
        create_project(tmp_path / name)
        declared = tmp_path / name / name / "defs" / "shop" / "defs.yaml"
        declared.parent.mkdir()
        declared.write_text(text)
        monkeypatch.syspath_prepend(tmp_path / name)
        return {type(one.component).__name__: one.component for one in ProjectTree.for_project(declared).placed()}

    return components


def test_a_scaffolded_view_over_any_name_of_a_column_is_declared_as_it_was_meant(load, monkeypatch):
    drops = {"grain": "monthly", "column": "at", "start": "2024-01"}
    source = SourceSpec(
        name="rows", description="Rows.", where={"path": "rows.csv"}, contract="x:Y", key_columns=["id"], drops=drops
    )
    columns = [Column("id", pl.Int64()), Column("at", pl.Datetime("us", "UTC"))]
    columns += [Column(name, pl.Float64()) for name in NAMES]
    monkeypatch.setattr(ExistingDeclarations, "columns_of", lambda _, __: columns)
    declared = ExistingDeclarations({"rows": source})
    spine = infer_spine(declared)
    view = infer_view(declared, spine, "row")
    import ml_assets

    text = render_document("ml_assets.Spine", ml_assets.Spine, spine.values) + "---\n"
    text += render_document("ml_assets.FeatureView", ml_assets.FeatureView, view.values, view.notes)
    made = load("odd_names", text)["FeatureView"]
    assert made.request == view.values["request"]
    assert [pl.sql_expr(expression).meta.root_names() for expression in made.request.values()] == [[n] for n in NAMES]


def test_texts_that_look_like_something_else_stay_as_they_are(load):
    source = """\
type: ml_assets.Source
attributes:
  name: rows
  description: "{{ 'Rows' }} of a shop"
  where: {path: rows.csv}
  null_values: ["1.0", "None", "[]", "0x1", "'-'"]
  contract: "x:Y"
  key_columns: ["1"]
"""
    made = load("odd_texts", source)["Source"]
    assert made.null_values == ["1.0", "None", "[]", "0x1", "'-'"]
    assert (made.description, made.key_columns) == ("Rows of a shop", ["1"])
