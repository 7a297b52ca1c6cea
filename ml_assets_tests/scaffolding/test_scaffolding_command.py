"""`dg scaffold defs`, as it is typed."""

import pytest

from ml_assets.commands.init.project import create_project
from ml_assets_tests import processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROWS = ["id,customer,amount,placed_at,settled_at,returned"]
ROWS += [
    f"{i},c{i % 5},{i}.5,2024-0{1 + i % 3}-10T09:00:00Z,2024-0{1 + i % 3}-12T09:00:00Z,{str(i % 4 == 0).lower()}"
    for i in range(90)
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaffolded") / "corner_shop"
    create_project(folder)
    (folder / "orders.csv").write_text("\n".join(ROWS) + "\n")
    return folder


@pytest.fixture(scope="module")
def scaffold(shop):
    """Runs `dg scaffold defs` in the project; returns exit status, what was said, and the lines of the error."""

    def go(*arguments):
        done = processes.run("dg", *arguments, cwd=shop, timeout=120, ML_ASSETS_HOME=shop / "home", COLUMNS=300)
        return done.returncode, done.stdout + done.stderr

    return go


@pytest.fixture(scope="module")
def orders(scaffold):
    given = ("--path", "orders.csv", "--timestamp", "placed_at", "--label", "returned", "--known-at", "settled_at")
    status, said = scaffold("scaffold", "defs", "ml_assets.Source", "shop/orders", *given)
    assert status == 0, said


@pytest.mark.usefixtures("orders")
def test_what_is_written_loads_as_it_is(scaffold, shop):
    status, said = scaffold("scaffold", "defs", "ml_assets.FeatureView", "shop/row")
    assert status == 0, said
    params = '{"label": "returned", "known_at": "settled_at"}'
    status, said = scaffold("scaffold", "defs", "ml_assets.MLModel", "shop/returns", "--json-params", params)
    assert status == 0, said
    declared = sorted(str(file.relative_to(shop / "corner_shop/defs")) for file in shop.glob("corner_shop/defs/*/*/*"))
    assert [name for name in declared if "__pycache__" not in name] == [
        "shop/orders/contract.py", "shop/orders/defs.yaml", "shop/returns/defs.yaml", "shop/row/defs.yaml",
    ]  # fmt: skip
    written = (shop / "corner_shop/defs/shop/orders/defs.yaml").read_text()
    assert [note for note in ("Some of ", "others have it again") if note in written] == []
    status, said = scaffold("check", "defs")
    assert (status, "All definitions loaded successfully" in said) == (0, True), said


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("component", "name", "options", "why"),
    [
        ("Source", "other", ["--path", "orders.csv", "--timestamp", "no"], "--timestamp: there is no column 'no'"),
        ("Source", "other", ["--path", "nothing.csv"], "nothing.csv"),
        ("Source", "Other", ["--path", "orders.csv"], "'Other' must be lower case letters"),
        ("FeatureView", "other", ["--entity", "client"], "--entity: there is no column 'client'"),
        ("MLModel", "other", ["--label", "return"], "--label: there is no column 'return'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(scaffold, shop, component, name, options, why):
    status, said = scaffold("scaffold", "defs", f"ml_assets.{component}", f"shop/{name}", *options)
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert (status, len(errors)) == (1, 1), said
    assert why in errors[0]
    assert "Traceback" not in said
    assert not (shop / "corner_shop/defs/shop" / name).exists()


@pytest.mark.parametrize(
    ("component", "options"),
    [
        ("Source", ["--path", "--query", "--connection", "--key", "--timestamp", "--grain", "--label", "--known-at"]),
        ("Spine", ["--table", "--key", "--timestamp"]),
        ("FeatureView", ["--spine", "--table", "--entity", "--known-at", "--window"]),
        ("MLModel", ["--label", "--known-at", "--task", "--view", "--spine"]),
    ],
)
def test_help_lists_the_options(scaffold, component, options):
    status, said = scaffold("scaffold", "defs", f"ml_assets.{component}", "--help")
    assert status == 0
    assert [option for option in [*options, "--json-params"] if option not in said] == []
