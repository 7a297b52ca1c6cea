"""What a decision knows beside the measurements, where it looks at a drop from before every training."""

from datetime import UTC, datetime
from types import SimpleNamespace

import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.modelling.records import TrainedVersion, write_record
from ml_assets.modelling.retraining import circumstances_of
from ml_assets.sources.drops.spec import Drops

APRIL, JULY = datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path):
    tables = Lake(str(tmp_path))
    known_at = [datetime(2024, month, 15, tzinfo=UTC) for month in (1, 2, 5, 8)]
    tables.replace("orders", pl.DataFrame({"returned": [True, False, None, True], "known_at": known_at}))
    for version, as_of in (("1", APRIL), ("2", JULY)):
        record = TrainedVersion(
            model="returns", version=version, run_id="r", as_of=as_of.isoformat(), training_set_version=0, trees=1
        )
        write_record(tables, "returns/model", as_of.isoformat(), record)
    return tables


def known_labels(lake, moment):
    return lake.scan("orders").filter(pl.col("known_at") <= moment, pl.col("returned").is_not_null())


def circumstances(lake, drop, version):
    label = SimpleNamespace(column="returned", known_at="known_at")
    model = SimpleNamespace(
        spine=SimpleNamespace(drops=Drops(grain="monthly", start="2024-01"), table="orders", sampled=False),
        spec=SimpleNamespace(label=label, name="returns"),
        key=lambda asset: f"returns/{asset}",
        known_labels=known_labels,
    )
    registry = SimpleNamespace(rolled_back_at=lambda _: None)
    return circumstances_of(lake, registry, model, drop, version, [])


def test_a_drop_is_judged_from_the_last_training_before_its_end(lake):
    known = circumstances(lake, "2024-08", "1")
    assert (known.trained_as_of, known.last_trained, known.labelled_rows, known.new_labels) == (APRIL, JULY, 3, 1)


def test_a_drop_from_before_every_training_has_no_new_labels(lake):
    known = circumstances(lake, "2024-02", "1")
    assert (known.last_trained, known.labelled_rows, known.new_labels) == (APRIL, 2, 0)


def test_a_version_of_which_no_training_is_kept_is_named(lake):
    with pytest.raises(ValueError, match="returns/model holds no training of version 7, which made the predictions of"):
        circumstances(lake, "2024-08", "7")
