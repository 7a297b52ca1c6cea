"""Declarations read without Dagster are those that Dagster loads, and one that is wrong hides no other."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from ml_assets.code_version import project_of
from ml_assets.commands.init.project import create_project
from ml_assets.components.project.tree import ProjectTree
from ml_assets.declarations.reading import read_declarations

PROJECT = Path(__file__).parents[2]

SPINE = """\
type: ml_assets.Spine
attributes:
  name: {name}
  table: orders/validated
  key: [id]
  time: placed_at
  partition: _drop
  drops: {{grain: monthly, start: "2024-01"}}
"""
VIEWS = """\
from ml_assets import FeatureView, declare

for name in ("cheap", "dear"):
    declare(__name__, FeatureView(name=name, description="Of price.", spine="orders", entity=["id"],
                                  request={name: "amount"}))
"""


def read(*folders):
    """What each project declares and what is wrong with it; of one alone, that."""
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "declarations_reader.py", *folders],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told if len(folders) > 1 else told[0]


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Writes a project with files under its ``defs/``."""

    def write(name, **files):
        tmp_path = tmp_path_factory.mktemp("made")
        create_project(tmp_path / name)
        for path, text in files.items():
            file = tmp_path / name / name / "defs" / path.replace("__", "/").replace("_yaml", ".yaml")
            file = file if file.suffix else file.with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        return tmp_path / name

    return write


@pytest.mark.slow
def test_the_shipped_project_is_read_as_dagster_loads_it():
    own = read(PROJECT)
    assert (own["faults"], own["dagster"]) == ([], False)
    tree = ProjectTree.for_project(PROJECT / "ml_assets")
    dagsters = [
        (one.use_case, one.component.model_dump(mode="json"), one.where(("name",)))
        for one in tree.placed()
        if hasattr(one.component, "model_dump")
    ]
    assert [(use_case, spec, where) for use_case, _, spec, where in own["declared"]] == dagsters
    assert len(dagsters) == 44


def test_one_that_is_wrong_is_told_with_file_and_line_and_the_others_are_read(make):
    folder = make(
        "mixed",
        good__spine__defs_yaml=SPINE.format(name="orders"),
        good__views=VIEWS,
        unparsed__defs_yaml="type: ml_assets.Spine\nattributes: {name: [\n",
        wrong_field__defs_yaml=SPINE.format(name="carts").replace("key:", "keys:"),
        no_python__views="from ml_assets import\n",
        gone__views="import no_such_library\n",
        raises__views="def price(row):\n    return row['price']\n\n\nprice({})\n",
        refused__views=VIEWS.replace('entity=["id"]', 'entity="id"'),
    )
    told = read(folder)
    names = [(use_case, spec["name"]) for use_case, _, spec, _ in told["declared"]]
    assert names == [("good", "orders"), ("good", "cheap"), ("good", "dear")]
    faults = dict(told["faults"])
    assert told["dagster"] is False
    assert {name: text.split(": ", 1)[0] for name, text in faults.items()} == {
        "unparsed": "mixed/defs/unparsed/defs.yaml:3",
        "wrong_field": faults["wrong_field"].split(": ", 1)[0],
        "no_python": "mixed/defs/no_python/views.py:1",
        "gone": "mixed/defs/gone/views.py:1",
        "raises": "mixed/defs/raises/views.py:2",
        "refused": "mixed/defs/refused/views.py:4",
    }
    assert all("\n" not in text for text in faults.values())
    assert "no YAML" in faults["unparsed"]
    assert "SyntaxError" in faults["no_python"]
    assert "ModuleNotFoundError: No module named 'no_such_library'" in faults["gone"]
    assert "KeyError: 'price'" in faults["raises"]
    assert faults["refused"].endswith("entity: must be a list")


@pytest.fixture
def of_one_name(tmp_path, monkeypatch):
    """Two projects whose packages share a name; what they leave in the process is taken away."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for street in ("corner", "harbour"):
        package = tmp_path / street / "shared_bakery"
        create_project(package)
        package = package / "shared_bakery"
        (package / "prices.py").write_text(f"NAME = '{street}'\n")
        (package / "contracts.py").write_text(f"class Of{street.title()}: ...\n")
        (package / "defs/prices").mkdir()
        (package / "defs/prices/views.py").write_text(
            "from ml_assets import FeatureView, declare\nfrom shared_bakery.prices import NAME\n\n"
            "declare(__name__, FeatureView(name=NAME, description='It.', spine='orders', entity=['id'],"
            " request={NAME: 'amount'}))\n"
        )
        source = SOURCE.format(contract=f"shared_bakery.contracts:Of{street.title()}")
        (package / "defs/orders").mkdir()
        (package / "defs/orders/defs.yaml").write_text(source)
    yield [project_of(tmp_path / street / "shared_bakery") for street in ("corner", "harbour")]
    for name in [name for name in sys.modules if name.partition(".")[0] == "shared_bakery"]:
        del sys.modules[name]


def test_projects_whose_packages_share_a_name_are_each_read_from_their_own_folder(of_one_name):
    corner, harbour = of_one_name
    for project, street in ((corner, "corner"), (harbour, "harbour"), (corner, "corner")):
        found = read_declarations(project)
        assert found.faults == []
        assert [each.spec.name for each in found.declarations] == ["orders", street]
        # What is imported by name afterwards, such as a contract, is the project's own.
        assert street == import_module("shared_bakery.prices").NAME


def test_two_of_one_name_are_both_told_and_neither_is_meant(make):
    spine = SPINE.format(name="orders")
    told = read(make("twins", one__defs_yaml=spine, two__defs_yaml=spine, views__views=VIEWS))
    assert told["faults"] == [
        ["one", "twins/defs/one/defs.yaml:3: name: 'orders' is declared 2 times"],
        ["two", "twins/defs/two/defs.yaml:3: name: 'orders' is declared 2 times"],
    ]
    assert [spec["name"] for _, _, spec, _ in told["declared"]] == ["cheap", "dear"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        {"a__defs_yaml": "type: dagster.DefsFolderComponent\nattributes: {}\n"},
        {"a__defs_yaml": SPINE.format(name="{{ env.NAME }}").replace("name: {{ env.NAME }}", "name: '{{ env.NAME }}'")},
        {"a__own": "import dagster as dg\n\n\n@dg.asset\ndef own(): ...\n"},
    ],
    ids=["another component", "a template", "assets of its own"],
)
def test_what_only_dagster_can_read_is_left_to_it(make, files):
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "declarations_reader.py", make("foreign", **files)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "NeedsDagster" in done.stderr


SOURCE = """\
type: ml_assets.Source
attributes:
  name: orders
  description: Orders.
  where: {{path: orders.csv}}
  contract: {contract}
  key_columns: [id]
"""
CONTRACTS = """\
import pandera.polars as pa

if True:
    class Orders(pa.DataFrameModel): ...

Carts = type("Carts", (Orders,), {})
"""


NAMED: dict[str, str | None] = {
    "contracts:Orders": None,
    "contracts:Carts": None,
    "contracts:pa": None,  # no contract, which only importing it tells
    "contracts:Order": "module SHOP.contracts has no Order; did you mean Orders?",
    "contracts:Nothing": "module SHOP.contracts has no Nothing",
    "contract:Orders": "there is no module SHOP.contract; write the contract as 'package.module:Class'",
    "no.such.contracts:Orders": "there is no module SHOP.no.such.contracts; write the contract as",
}


@pytest.fixture(scope="module")
def of_contracts(make):
    """What is told of each name of a contract: (project, what is read of it)."""
    folders = {}
    for number, named in enumerate(NAMED):
        shop = f"shop_{number}"
        declared = {"orders__defs_yaml": SOURCE.format(contract=f"{shop}.{named}")}
        folders[named] = make(shop, **declared, spine__defs_yaml=SPINE.format(name="orders"))
        (folders[named] / shop / "contracts.py").write_text(CONTRACTS)
    told = read(*folders.values())
    return {named: (folder.name, one) for (named, folder), one in zip(folders.items(), told, strict=True)}


@pytest.mark.parametrize("named", NAMED)
def test_a_contract_that_is_not_there_is_told_without_importing_any(of_contracts, named):
    (shop, told), fault = of_contracts[named], NAMED[named]
    assert [spec["name"] for _, _, spec, _ in told["declared"]] == ["orders", "orders"]
    if fault is None:
        assert told["faults"] == []
    else:
        ((use_case, message),) = told["faults"]
        assert use_case == "orders"
        fault = fault.replace("SHOP", shop)
        assert message.startswith(f"{shop}/defs/orders/defs.yaml:6: contract: '{shop}.{named}': {fault}")
