"""A try says which tables it read, and where."""

import polars as pl

from ml_assets.commands.experiment.trial import _Tables
from ml_assets.components.features.spine import Spine
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake


def source(path, **drops):
    return DeclaredSource(
        name="orders", description="Orders.", where={"path": str(path)}, contract="shop.contracts:Orders",
        key_columns=["id"], drops=drops,
    )  # fmt: skip


def test_a_source_that_holds_nothing_any_more_is_named_beside_the_table_in_the_lake(tmp_path):
    lake, file = Lake(str(tmp_path / "lake")), tmp_path / "orders.csv"
    tables = _Tables(lake, [source(file)], [])
    assert tables.describe("orders/validated") == "orders/validated: from its source, nothing of it is in the lake"
    file.write_text("id\n1\n")
    lake.replace("orders/validated", pl.DataFrame({"id": [1]}))
    assert tables.describe("orders/validated") == "orders/validated: from the lake, version 0"
    file.unlink()
    assert tables.describe("orders/validated").endswith("version 0; its source orders holds nothing now")
    lake.replace("counts", pl.DataFrame({"id": [1]}))
    assert tables.describe("counts") == "counts: from the lake, version 0"


def test_rows_that_are_made_are_not_said_to_come_from_a_source(tmp_path):
    spine = Spine.model_validate(
        {
            "name": "weekly", "entities": {"table": "orders/validated", "key": ["customer"]},
            "every": {"cron": "0 6 * * mon"}, "drops": {"grain": "monthly", "start": "2024-01"},
        }
    )  # fmt: skip
    tables = _Tables(Lake(str(tmp_path / "lake")), [source(tmp_path / "orders.csv")], [spine])
    made = "weekly/rows: made in memory of orders/validated and the calendar, nothing of it is in the lake"
    assert tables.describe("weekly/rows") == made


def test_a_source_of_one_file_a_drop_holds_something_while_one_is_there(tmp_path):
    lake = Lake(str(tmp_path / "lake"))
    lake.replace("orders/validated", pl.DataFrame({"id": [1]}))
    tables = _Tables(lake, [source(tmp_path / "{partition}.csv", grain="monthly", start="2024-01")], [])
    assert tables.describe("orders/validated").endswith("its source orders holds nothing now")
    (tmp_path / "2024-01.csv").write_text("id\n1\n")
    assert tables.describe("orders/validated") == "orders/validated: from the lake, version 0"
