"""Declarations made in Python, many of them in a loop."""

import time
from textwrap import dedent

import pytest
import yaml

from ml_assets.commands.init.project import create_project
from ml_assets.declarations.problems import DeclarationError
from ml_assets.project import load_project

pytestmark = pytest.mark.slow

MANY = """\
from ml_assets import FeatureView, MLModel, Source, Spine, declare

MONTHS = {"grain": "monthly", "start": "2024-01"}

declare(
    __name__,
    Source(
        name="orders", description="Orders.", where={"path": "orders.csv"}, contract="{package}.contracts:Orders",
        key_columns=["id"], drops=MONTHS | {"column": "placed_at"},
    ),
    Spine(
        name="order", table="orders/validated", key=["id"], time="placed_at", partition="_drop", drops=MONTHS,
    ),
    FeatureView(
        name="price", description="Price.", spine="order", entity=["id"], request={"price": "amount"},
    ),
)

for number in range(50):
    model = MLModel(
        name=f"returns_{number}",
        description="Whether an order comes back.",
        spine="order",
        label={"column": "returned", "known_at": "settled_at"},
        features=["price"],
        split={"validation": "14d", "holdout": "14d", "gap": "2d"},
        seed=number,
    )
    declare(__name__, model)
"""

CONTRACT = """\
import pandera.polars as pa
import polars as pl


class Orders(pa.DataFrameModel):
    id: pl.Int64
    amount: pl.Float64
    placed_at: pl.Datetime("us", "UTC")
    settled_at: pl.Datetime("us", "UTC") = pa.Field(nullable=True)
    returned: pl.Boolean = pa.Field(nullable=True)
"""


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """Makes a project that declares what the files of its folder under `defs/` say."""

    def make(package, **files):
        folder = tmp_path / package
        create_project(folder)
        (folder / package / "contracts.py").write_text(CONTRACT)
        (folder / package / "defs" / "shop").mkdir()
        for name, text in files.items():
            (folder / package / "defs" / "shop" / f"{name}.py").write_text(text.replace("{package}", package))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("ML_ASSETS_HOME", str(folder / "home"))
        return folder / package

    return make


def test_fifty_models_of_a_loop_load_in_under_ten_seconds_of_processor_time(declared):
    package = declared("fifty_models", many=MANY)
    began = time.process_time()
    definitions = load_project(package)
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert time.process_time() - began < 10
    assert {f"returns_{number}/champion" for number in range(50)} <= set(specs)
    assert {spec.group_name for spec in specs.values()} == {"shop"}
    assert definitions.resolve_job_def("shop_train") is not None


def test_python_and_yaml_declare_the_same(declared):
    in_python = load_project(declared("in_python", one=MANY.replace("range(50)", "range(1)")))
    package = declared("in_yaml")
    components = {"Source": "orders", "Spine": "order", "FeatureView": "price", "MLModel": "returns_0"}
    made = {type(one).__name__: one for one in in_python.component_tree.get_all_components(of_type=object)}
    documents = [
        {"type": f"ml_assets.{kind}", "attributes": made[kind].model_dump(mode="json", exclude_unset=True)}
        for kind in components
    ]
    text = yaml.safe_dump_all(documents).replace("in_python.", "in_yaml.")
    (package / "defs" / "shop" / "defs.yaml").write_text(text)
    in_yaml = load_project(package)

    def told(definitions):
        return {
            spec.key: (spec.description, spec.group_name, spec.kinds, sorted(dep.asset_key for dep in spec.deps))
            for spec in definitions.resolve_all_asset_specs()
        }

    assert told(in_yaml) == told(in_python)


def test_what_is_wrong_with_a_declaration_in_python_is_told_with_its_line(declared):
    package = declared("wrong_in_python", one=MANY.replace('"returned", "known_at"', '"return", "known_at"'))
    with pytest.raises(DeclarationError) as told:
        load_project(package)
    lines = str(told.value).splitlines()
    line = MANY.splitlines().index("    declare(__name__, model)") + 1
    assert len(lines) == 50
    assert lines[0] == (
        f"wrong_in_python/defs/shop/one.py:{line}: returns_0: label.column: orders/validated of spine order has no "
        "column 'return'; it has id, amount, placed_at, settled_at, returned, _drop"
    )


def test_a_name_is_declared_once(declared):
    twice = MANY.replace("range(50)", "(1, 1)")
    package = declared("twice_in_python", one=twice)
    with pytest.raises(DeclarationError, match=r"one\.py:\d+: name: 'returns_1' is there already"):
        load_project(package)


def test_a_component_of_ones_own_function_is_found_too(declared):
    own = dedent("""
        import dagster as dg

        from ml_assets import Spine

        @dg.component_instance
        def spine(context) -> Spine:
            months = {"grain": "monthly", "start": "2024-01"}
            return Spine(
                name="order", table="orders/validated", key=["id"], time="placed", partition="_drop", drops=months
            )
    """)
    source = MANY.split("    Spine(")[0] + ")\n"
    package = declared("own_function", source=source, own=own)
    with pytest.raises(DeclarationError, match=r"own\.py:6: spine: time: orders/validated has no column 'placed'"):
        load_project(package)
