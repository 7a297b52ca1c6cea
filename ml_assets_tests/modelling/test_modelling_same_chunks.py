"""A drop that is measured again keeps the chunks of its estimate, which its realised values judge."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.maturing import as_measured
from ml_assets.modelling.performance.measure import measure_performance
from ml_assets.modelling.records import AS_OF
from ml_assets.monitoring.chunks import CHUNK, Chunks, cut, cut_as
from ml_assets.monitoring.performance import watch
from ml_assets.monitoring.performance.record import past_errors
from ml_assets.monitoring.performance.table import chunk_spans, performance_table

START, WEEK, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=7), timedelta(days=1)
JOINED = (*(START + n * WEEK for n in range(4)), START + 29 * DAY)
"""Edges of a month of weekly rows as they were cut before its fifth week was one of its own."""


def mondays(weeks: int, a_week: int = 40) -> pl.DataFrame:
    """Return scored rows of Mondays from 1 January on, whose labels are known by the end of the next month."""
    random, count = np.random.default_rng(3), weeks * a_week
    at = [START + n // a_week * WEEK for n in range(count)]
    score, bad = random.random(count), random.random(count) < 0.5
    rows = pl.DataFrame({"id": range(count), "at": at, "score": score, "bad": bad})
    known = pl.col("at").dt.month_start().dt.offset_by("1mo9d").dt.truncate("1d")
    return rows.with_columns(
        prediction=pl.col("score") > 0.5, found_at=known, drop=pl.col("at").dt.strftime("%Y-%m"),
        model_version=pl.lit("1"),
    )  # fmt: skip


def edges_of(*days: int) -> pl.DataFrame:
    edges = pl.Series([START + day * DAY for day in days], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"chunk_start": edges[:-1], "chunk_end": edges[1:]})


@pytest.mark.parametrize(
    ("days", "chunk", "kept"),
    [
        ((0, 7, 14, 21, 30), "7d", True),
        ((0, 7, 14, 21, 28, 30), "7d", True),
        ((0, 14, 30), "7d", False),  # cut by another length
        ((0, 14, 28, 30), "14d", True),
        ((0, 30), "30d", True),
        ((0, 30), "7d", False),
        ((0, 7, 14, 21, 28), "7d", False),  # rows have come since
        ((), "7d", False),
    ],
)
def test_chunks_of_an_earlier_measure_are_kept_while_they_are_what_is_declared(days, chunk, kept):
    rows = mondays(5)
    found = cut_as(rows, "at", chunk, edges_of(*days) if days else edges_of(0, 1).clear())
    assert (found is not None) == kept
    if found is not None:
        chunks, numbered = found
        assert chunks.edges == tuple(START + day * DAY for day in days)
        by_hand = [sum(start <= (at - START).days for start in days[:-1]) - 1 for at in rows["at"]]
        assert numbered[CHUNK].to_list() == by_hand


def context() -> ModelContext:
    drops = {"grain": "monthly", "start": "2024-01"}
    keyed = {"key": ["id"], "time": "at", "partition": "drop"}
    spine = DeclaredSpine.model_validate({"name": "rows", "table": "rows", "drops": drops, **keyed})
    model = DeclaredModel(
        name="fraud", description="Whether it is fraud.", spine="rows", features=["none"],
        split={"validation": "10d", "holdout": "10d", "gap": "60d"},
        label={"column": "bad", "known_at": "found_at"},
        monitoring={"chunk": "7d", "min_chunk_rows": 20, "earlier_drops": 0},
    )  # fmt: skip
    return ModelContext.of(model, spine, [], "shop")


def estimate(_, analysis, *, spec, time, chunks=None, **__) -> pl.DataFrame:
    """Return 0.75 for each chunk, and for the whole."""
    own = chunks or cut(analysis, time, spec.chunk)[0]
    numbered = own.number(analysis, time)
    values = pl.DataFrame(
        {CHUNK: [*range(len(own.edges) - 1), None], "metric": "roc_auc", "value": 0.75},
        schema_overrides={CHUNK: pl.Int64},
    ).with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("lower", "upper", "margin"))
    values = values.with_columns(past_errors=pl.lit(0, pl.Int64))
    return performance_table(values, chunk_spans(own, numbered, numbered.schema[time]), "estimated", spec)


def test_a_drop_estimated_in_four_chunks_is_realised_in_these(tmp_path, monkeypatch):
    lake, model, rows = Lake(str(tmp_path)), context(), mondays(9)
    drops = {"drop": ["2024-01", "2024-02"]}
    lake.replace("rows", rows.select("drop", "id", "at", "bad", "found_at"), drops)
    lake.replace("fraud/predictions", rows.drop("bad", "found_at"), drops)
    lake.replace("fraud/reference", rows.with_columns(pl.lit("2024-01-01").alias(AS_OF)))
    january = rows.filter(drop="2024-01")
    assert len(cut(january, "at", "7d")[0].edges) == 6
    stored = estimate(None, january, spec=model.monitoring, time="at", chunks=Chunks(JOINED))
    unlabelled = january.with_columns(bad=pl.lit(None, pl.Boolean))
    about = {"model": model.spec, "spec": model.monitoring, "estimated": stored}
    realised = watch.watch_realised(rows, unlabelled, **about)
    end = datetime(2024, 2, 1, tzinfo=UTC)
    report = as_measured(pl.concat([stored, realised]), model, "2024-01", "1", end)
    lake.replace("fraud/performance_report", report, {"drop": ["2024-01"]})
    monkeypatch.setattr(watch, "estimate_performance", estimate)
    registry = SimpleNamespace(inputs=lambda *_: None, rolled_back_at=lambda _: None)
    measured = measure_performance(lake, registry, model, ["2024-02"])  # pyright: ignore[reportArgumentType]
    again = measured.again["2024-01"].filter(metric="roc_auc", scope="chunk")
    for kind in ("estimated", "realised"):
        own = again.filter(kind=kind).sort("chunk_start")
        assert (*own["chunk_start"], own["chunk_end"][-1]) == JOINED
        assert own["rows"].to_list() == [40, 40, 40, 80]
    errors = past_errors(measured.again["2024-01"], 20)
    assert errors.filter(scope="chunk").height == 4
    assert errors.filter(scope="period").height == 1
