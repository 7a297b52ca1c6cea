"""What is stored about a version, also in a home from before tables said which version their rows are about."""

from datetime import UTC, datetime

import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.modelling.records import AS_OF, VERSION, TrainedVersion, read_version, replace_as_of

APRIL, JULY = (datetime(2024, month, 1, tzinfo=UTC).isoformat() for month in (4, 7))


def trained(version, as_of):
    return TrainedVersion(model="returns", version=version, run_id="r", as_of=as_of, training_set_version=0, trees=1)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path))


def test_rows_of_a_version_are_those_stored_about_it(lake):
    replace_as_of(lake, "returns/evaluation", APRIL, pl.DataFrame({"value": [0.7]}), "1")
    replace_as_of(lake, "returns/evaluation", APRIL, pl.DataFrame({"value": [0.8]}), "2")
    read = read_version(lake, "returns/evaluation", trained("1", APRIL))
    assert read.to_dict(as_series=False) == {"value": [0.7], VERSION: ["1"]}


def test_rows_without_a_version_are_those_of_its_training(lake):
    rows = pl.DataFrame({"value": [0.7, 0.9], AS_OF: [APRIL, JULY]})
    lake.replace("returns/evaluation", rows)
    read = read_version(lake, "returns/evaluation", trained("2", JULY))
    assert read.to_dict(as_series=False) == {"value": [0.9]}


def test_rows_from_before_the_version_was_kept_beside_rows_with_it(lake):
    rows = pl.DataFrame({"value": [0.7, 0.8, 0.9], AS_OF: [APRIL, JULY, JULY], VERSION: [None, None, "3"]})
    lake.replace("returns/evaluation", rows)
    assert read_version(lake, "returns/evaluation", trained("1", APRIL))["value"].to_list() == [0.7]
    assert read_version(lake, "returns/evaluation", trained("4", JULY))["value"].to_list() == [0.8]
