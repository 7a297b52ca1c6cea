"""Every way to write a CSV file that the guide lists: read as declared, and told from the file."""

import json
from pathlib import Path

import pytest
import yaml

from ml_assets.scaffolding.samples.sample import read_sample
from ml_assets.scaffolding.sources.declaration import infer_source
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.sources.delivery.read import read_drops
from ml_assets.sources.spec import SourceSpec
from ml_assets_tests.sources.csv_dialects import CASES

PAGE = Path(__file__).parents[2] / "docs" / "csv.md"
TABLE = "<!-- The table is that of ml_assets_tests/sources/csv_dialects.py: write it by `make csv-page`. -->\n"


@pytest.fixture(params=CASES, ids=[case.what for case in CASES])
def case(request, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(request.param.content)
    return path, request.param


def test_a_file_is_read_as_declared(case):
    path, case = case
    spec = SourceSpec(
        name="rows", description="Rows.", where={"path": str(path)}, contract="a:B", key_columns=["id"], **case.declared
    )
    frame = read_drops(spec, None, case.schema)["whole"].frame.drop("_drop", "_content_hash", "_unread", strict=False)
    assert frame.rows() == case.rows


def test_the_scaffolder_tells_the_declaration_from_the_file(case):
    path, case = case
    where = {"path": str(path)}
    new = infer_source("rows", "a", Wanted(where), read_sample(where, None))
    told = {field: new.values[field] for field in ("csv", "columns", "null_values") if field in new.values}
    assert told == case.declared
    if "cp1252" in json.dumps(told):
        assert "Western Europe is assumed" in new.notes["csv"]
    if told.get("columns", {}).get("at", {}).get("time_zone"):
        assert new.notes["columns"].endswith("at: UTC is assumed, as the times have no offset.")


def render_table():
    """The cases as a table of Markdown."""
    lines = ["| A file with | such as | is declared by |", "|---|---|---|"]
    for case in CASES:
        text = case.content.decode(case.declared.get("csv", {}).get("encoding", "utf-8-sig"))
        shown = text.replace("\r\n", "␍␊").replace("\r", "␍").replace("\n", "␊").replace("\t", "␉")
        declared = yaml.safe_dump(case.declared, default_flow_style=True, allow_unicode=True, width=1000).strip()[1:-1]
        cells = (case.what, f"`` {shown} ``", f"`` {declared} ``" if declared else "nothing")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def test_the_guide_lists_what_is_tested():
    assert PAGE.read_text(encoding="utf-8").partition(TABLE)[2] == render_table()


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text(encoding="utf-8").partition(TABLE)[0] + TABLE + render_table(), encoding="utf-8")
