import json

from ml_assets.commands.serving.served_job import GatheredDrop, as_json, as_table
from ml_assets.serving.log.skew import SkewRecord


def gathered(drop, differing=0, worst=None):
    record = SkewRecord(
        model="late", drop=drop, rows=200, values=16000, fresh_values=9000, differing=differing, worst_feature=worst
    )
    return GatheredDrop(rows=1234, skew=record)


DROPS = [gathered("2024-01"), gathered("2024-02", 3, "courier.late_sum_1h")]


def test_each_drop_is_told_on_a_line():
    header, *lines = as_table(DROPS).split("\n")
    assert header.split() == ["drop", "rows", "compared", "values", "differing", "worst", "feature"]
    assert [line.split() for line in lines] == [
        ["2024-01", "1,234", "200", "16,000", "0", "-"],
        ["2024-02", "1,234", "200", "16,000", "3", "courier.late_sum_1h"],
    ]


def test_each_drop_is_told_as_json():
    told = json.loads(as_json("late", DROPS))
    assert told["model"] == "late"
    assert [drop["passed"] for drop in told["drops"]] == [True, False]
    assert told["drops"][1] == {
        "drop": "2024-02",
        "rows": 1234,
        "compared": 200,
        "values": 16000,
        "fresh_values": 9000,
        "differing": 3,
        "worst_feature": "courier.late_sum_1h",
        "passed": False,
    }
