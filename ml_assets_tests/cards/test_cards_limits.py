"""What a card says of the newest drop among a version's limits."""

from types import SimpleNamespace

import polars as pl
import pytest

from ml_assets.cards.limits import _alerts
from ml_assets.lake import Lake

MODEL = SimpleNamespace(key=lambda asset: f"sold/{asset}", spine=SimpleNamespace(partition="_drop"))


@pytest.mark.parametrize(
    ("report", "column", "names", "said"),
    [
        ("drift_report", "feature", ["size"], "size has drifted from the reference (PSI)."),
        ("drift_report", "feature", ["size", "age"], "size, age have drifted from the reference (PSI)."),
        ("performance_report", "metric", ["mae"], "mae is beyond the declared limit."),
        ("performance_report", "metric", ["mae", "bias"], "mae, bias are beyond the declared limit."),
    ],
)
def test_one_or_more_that_are_beyond_a_limit_are_said_in_good_words(tmp_path, report, column, names, said):
    lake = Lake(str(tmp_path))
    about = {"_drop": "2024-03", "model_version": "1", "scope": "period", "method": "psi", "alert": True}
    lake.replace(f"sold/{report}", pl.DataFrame([{column: name, **about} for name in names]))
    assert list(_alerts(MODEL, "1", lake)) == [f"In drop 2024-03 {said}"]


def test_many_are_counted(tmp_path):
    lake = Lake(str(tmp_path))
    about = {"_drop": "2024-03", "model_version": "1", "scope": "period", "method": "psi", "alert": True}
    lake.replace("sold/drift_report", pl.DataFrame([{"feature": f"f{number}", **about} for number in range(70)]))
    (said,) = _alerts(MODEL, "1", lake)
    assert said.endswith(" more have drifted from the reference (PSI).")
