"""A mistake in one use case stops nobody who scaffolds in another."""

import dagster as dg
import pytest

from ml_assets.components.scaffolders.folder import ScaffoldedFolder
from ml_assets.declarations.problems import DeclarationError

SOURCE = {
    "type": "ml_assets.Source",
    "attributes": {
        "name": "orders",
        "description": "Orders.",
        "where": {"path": "orders.csv"},
        "contract": "CONTRACTS:Orders",
        "key_columns": ["id"],
    },
}
BROKEN = "type: ml_assets.Source\nattributes:\n  name: visits\n"
NO_YAML = "type: [\n"


def scaffolded(project, use_case):
    package = next(path.parent for path in project.folder.glob("*/defs"))
    target = package / "defs" / use_case / "new"
    target.mkdir(parents=True)
    return ScaffoldedFolder(dg.ScaffoldRequest("ml_assets.Spine", target, "yaml", project.folder, None))


def break_neighbour(project, text):
    folder = next(project.folder.glob("*/defs")) / "neighbour"
    folder.mkdir()
    (folder / "defs.yaml").write_text(text)


@pytest.mark.parametrize("text", [BROKEN, NO_YAML], ids=["a field is missing", "no YAML"])
def test_another_use_case_that_cannot_be_read_is_named_and_left_out(make_project, capsys, text):
    project = make_project(SOURCE)
    break_neighbour(project, text)
    existing = scaffolded(project, "shop").declared()
    assert list(existing.sources) == ["orders"]
    assert existing.own == {"source orders"}
    message = capsys.readouterr().err
    assert message.startswith("nothing of neighbour is considered, as it cannot be read: ")
    assert "defs/neighbour/defs.yaml:" in message


def test_what_is_wrong_in_the_use_case_itself_stops(make_project):
    project = make_project(SOURCE)
    break_neighbour(project, BROKEN)
    with pytest.raises(DeclarationError, match=r"neighbour/defs.yaml:\d+: description: is missing"):
        scaffolded(project, "neighbour").declared()
