"""Every type of Arrow in Parquet files and of Delta tables: a value in, the value out, or one line that names it."""

import importlib.util
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.samples.sample import read_sample
from ml_assets.scaffolding.sources.declaration import infer_source
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.sources.delivery.read import fingerprint, read_drops
from ml_assets.sources.errors import SourceError


def _beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stored = _beside("stored_types")


def write_parquet(path, case):
    if isinstance(case.written, str):
        rows = f"SELECT unnest([1, 2]) AS id, unnest([{case.written}, NULL]) AS x"
        duckdb.sql(f"COPY ({rows}) TO '{path}' (FORMAT parquet)")
    else:
        pq.write_table(pa.table({"id": [1, 2], "x": case.written}), path)


def write_delta(path, case):
    write_deltalake(path, pa.table({"id": [1, 2], "x": case.written}))


WRITE = {"parquet": (write_parquet, stored.PARQUET), "delta": (write_delta, stored.DELTA)}
CASES = [(kind, case) for kind, (_, cases) in WRITE.items() for case in cases]


def case_id(case):
    return case if isinstance(case, str) else f"{case.type}-{case.dtype}-{case.refused[:9]}"


@pytest.mark.parametrize(("kind", "case"), CASES, ids=case_id)
def test_a_value_is_read_as_it_is_or_named(orders, tmp_path, kind, case):
    place = tmp_path / f"held.{kind}"
    WRITE[kind][0](place, case)
    spec = orders(place.name)
    schema = {"id": pl.Int64(), "x": case.dtype}
    if stored.MONTHS not in case.refused:
        assert fingerprint(spec, ["whole"], schema)
    if case.refused:
        with pytest.raises(SourceError) as raised:
            read_drops(spec, None, schema)
        assert (raised.value.kind, raised.value.column) == ("wrong type", "x")
        assert case.refused in str(raised.value)
    else:
        column = read_drops(spec, None, schema)["whole"].frame["x"]
        assert column.dtype == case.dtype
        assert column.to_list() == [case.becomes, None]
    # Of a column that the contract does not have nothing is asked.
    alone = read_drops(spec, None, {"id": pl.Int64()})["whole"]
    assert (alone.frame["id"].to_list(), alone.extra_columns) == ([1, 2], ("x",))


@pytest.mark.parametrize(("kind", "case"), CASES, ids=case_id)
def test_the_scaffolder_takes_it_or_names_it(tmp_path, kind, case):
    place = tmp_path / f"held.{kind}"
    WRITE[kind][0](place, case)
    where = {"path": str(place)}
    if stored.MONTHS in case.refused:
        with pytest.raises(ScaffoldError, match=stored.MONTHS):
            read_sample(where, None)
        return
    new = infer_source("held", "shop.contract", Wanted(where), read_sample(where, None))
    if case.by_type or case.refused.startswith(("it would become 2024", "is no Duration")):
        assert " x, " in new.notes["contract"]
        assert "    x: " not in new.contract
    else:
        assert "    x: pl." in new.contract
    assert new.values["key_columns"] == ["id"]


def test_the_page_of_types_is_what_the_tests_run_on():
    told = stored.PAGE.read_text()
    assert told == stored.page(), f"run {Path(stored.__file__).name} to write {stored.PAGE.name} again"
