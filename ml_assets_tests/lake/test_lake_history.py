"""Which commits wrote which partitions, from the log of a real table."""

import polars as pl
import pytest

from ml_assets.lake import Lake, TableMissing
from ml_assets.lake.history import PartitionHistory, _values


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


def of(*drops):
    return pl.DataFrame({"_drop": list(drops), "value": range(len(drops))})


def versions(history: PartitionHistory) -> dict[str, list[int]]:
    return {drop: [commit.version for commit in commits] for drop, commits in history.commits.items()}


def test_each_partition_has_the_commits_that_replaced_it(lake):
    lake.replace("t", of("a", "b"), {"_drop": ["a", "b"]})
    lake.replace("t", of("b"), {"_drop": ["b"]})
    lake.replace("t", of("it's", "c", "b", "d", "e"), {"_drop": ["it's", "c", "b", "d", "e"]})
    history = lake.history_by("t", "_drop")
    assert versions(history) == {"a": [0], "b": [0, 1, 2], "it's": [2], "c": [2], "d": [2], "e": [2]}
    assert history.whole
    moments = [history.commits["b"][at].at for at in range(3)]
    assert moments == sorted(moments)
    assert moments[-1] == lake.written_at("t")


def test_a_drop_without_rows_was_delivered_all_the_same(lake):
    lake.replace("t", of("a"), {"_drop": ["a"]})
    lake.replace("t", of("b").clear(), {"_drop": ["b"]})
    assert versions(lake.history_by("t", "_drop")) == {"a": [0], "b": [1]}


def test_rewriting_all_partitions_for_a_new_type_delivers_none_of_them(lake):
    lake.replace("t", of("a"), {"_drop": ["a"]})
    retyped = of("b").with_columns(pl.col("value") + 0.5)
    lake.replace("t", retyped, {"_drop": ["b"]})
    assert versions(lake.history_by("t", "_drop")) == {"a": [0]}


def test_compaction_delivers_nothing(lake):
    for drop in ("a", "b", "b"):
        lake.append("t", of(drop), ["_drop"])
    lake.compact("t")
    assert versions(lake.history_by("t", "_drop")) == {"a": [0]}


def test_a_table_that_is_not_there_has_no_history(lake):
    with pytest.raises(TableMissing):
        lake.history_by("t", "_drop")


@pytest.mark.parametrize(
    ("predicate", "values"),
    [
        ("_drop = '2013-12'", ["2013-12"]),
        ("_drop IN ('a', 'b''c')", ["a", "b'c"]),
        ("_drop = 'a' OR _drop = 'b'", ["a", "b"]),
        ("\"_drop\" IN ('a') AND version IN ('1')", ["a"]),
        ("version = '_drop'", []),
    ],
)
def test_a_predicate_names_its_partitions(predicate, values):
    assert list(_values(predicate, "_drop")) == values
