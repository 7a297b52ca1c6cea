"""Why a drop did worse: its sources' events out of a small lake, where features come from, and what is kept."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.commands.lifecycle.why import find_why, lines_of
from ml_assets.declarations.specs import DeclaredModel, DeclaredSource, DeclaredSpine, DeclaredView
from ml_assets.diagnosis.causes.upstream import SourceColumn, reached
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.diagnosis import drop as of_drop
from ml_assets.modelling.performance.diagnosis.drop import NothingToDiagnose, diagnose_falls
from ml_assets.modelling.performance.diagnosis.events import events_of
from ml_assets.modelling.performance.diagnosis.kept import read_diagnoses
from ml_assets.modelling.performance.diagnosis.origins import Upstream, origins_of
from ml_assets.training.evaluation import explain
from ml_assets.training.predictions import scored as predictions

DROPS = {"grain": "monthly", "start": "2024-01", "column": "at"}
MONTHS = ["2024-01", "2024-02", "2024-03"]
LATER = datetime.now(UTC) + timedelta(days=1)
BEFORE = datetime.now(UTC) - timedelta(days=1)


def source(name: str) -> DeclaredSource:
    return DeclaredSource.model_validate(
        {
            "name": name,
            "description": "Made up.",
            "where": {"path": f"{name}.csv"},
            "drops": DROPS,
            "contract": "shop.contracts:Rows",
            "key_columns": ["id"],
        }
    )


def delivered(lake: Lake, name: str, drop: str, rows: int = 100, bad: int = 0, **columns: pl.Series) -> None:
    """Write a delivery as the source's assets do: all rows raw, the bad ones in quarantine."""
    raw = pl.DataFrame({"id": range(rows), **columns, "_drop": [drop] * rows}, schema_overrides={"id": pl.Int64})
    lake.replace(f"{name}/raw", raw, {"_drop": [drop]})
    lake.replace(f"{name}/quarantine", raw.head(bad), {"_drop": [drop]})
    lake.replace(f"{name}/validated", raw.tail(rows - bad), {"_drop": [drop]})


@pytest.fixture
def lake(tmp_path) -> Lake:
    lake = Lake(str(tmp_path))
    for drop in MONTHS[:2]:
        delivered(lake, "weather", drop)
    return lake


def kinds(lake: Lake, drop: str = "2024-03", made_at: datetime | None = LATER) -> list[str]:
    return [event.kind for event in events_of(lake, [source("weather")], drop, made_at)]


def test_a_usual_delivery_is_no_event(lake):
    delivered(lake, "weather", "2024-03")
    assert kinds(lake) == []


def test_a_delivery_after_the_predictions_is_late_and_one_made_anew_came_again(lake):
    delivered(lake, "weather", "2024-03")
    (event,) = events_of(lake, [source("weather")], "2024-03", BEFORE)
    assert (event.kind, event.source) == ("late", "weather")
    assert event.text.startswith("the delivery 2024-03 came ")
    assert event.observed == pytest.approx(24, abs=0.5)
    between = datetime.now(UTC)
    delivered(lake, "weather", "2024-03", rows=101)
    (event,) = events_of(lake, [source("weather")], "2024-03", between)
    assert event.text.startswith("the delivery 2024-03 came again ")


def test_a_drop_of_which_nothing_is_in_use_is_missing(lake):
    assert kinds(lake) == ["missing"]
    assert kinds(lake, drop="2023-12") == []


def test_a_withheld_delivery_says_what_it_failed(lake):
    held = pl.DataFrame({"_drop": ["2024-03"], "failed": [["contract"]], "waits_for": [[]], "in_use": [False]})
    lake.replace("weather/withheld", held.cast({"waits_for": pl.List(pl.String)}), {"_drop": ["2024-03"]})
    events = events_of(lake, [source("weather")], "2024-03", LATER)
    assert [event.kind for event in events] == ["missing", "withheld"]
    assert events[1].text == "the delivery 2024-03 is held back: it failed contract"


@pytest.mark.parametrize(("rows", "events"), [(49, ["rows"]), (50, []), (200, []), (201, ["rows"])])
def test_a_delivery_beyond_the_declared_row_counts_is_an_event(lake, rows, events):
    delivered(lake, "weather", "2024-03", rows=rows)
    assert kinds(lake) == events


def test_more_rows_in_quarantine_than_usual_are_an_event(lake):
    delivered(lake, "weather", "2024-02", bad=4)
    delivered(lake, "weather", "2024-03", bad=8)
    assert kinds(lake) == []
    delivered(lake, "weather", "2024-03", bad=9)
    (event,) = events_of(lake, [source("weather")], "2024-03", LATER)
    assert (event.kind, event.observed, event.usual) == ("quarantined", 0.09, 0.02)


def test_columns_that_are_new_are_named(lake):
    delivered(lake, "weather", "2024-03", wind=pl.Series([1.0] * 100))
    (event,) = events_of(lake, [source("weather")], "2024-03", LATER)
    assert (event.kind, event.columns) == ("schema", ("wind",))


# Where features come from

WEATHER_VIEW = DeclaredView.model_validate(
    {
        "name": "weather_view",
        "description": "Weather.",
        "spine": "rows",
        "entity": ["place"],
        "table": "hourly",
        "known_at": "seen_at",
        "latest": {"warmth": "temp * 2", "wet": "humid"},
        "windows": ["1d"],
        "aggregates": {"rain": {"of": "rain", "functions": ["sum"]}, "reports": {"functions": ["count"]}},
        "derived": {"ratio": "rain_sum_1d / warmth"},
    }
)
ROW_VIEW = DeclaredView.model_validate(
    {
        "name": "row_view",
        "description": "The row.",
        "spine": "rows",
        "entity": ["id"],
        "request": {"size": "size"},
        "calendar": {"now": {"parts": ["weekday"], "time_zone": "UTC"}},
    }
)
LINEAGE = {
    "hourly": {"temp": [("staged", "t")], "rain": [("staged", "r")]},
    "staged": {"t": [("weather/validated", "c")]},
}


def context(*views: DeclaredView, table: str = "orders/validated") -> ModelContext:
    keyed = {"key": ["id"], "time": "at", "partition": "_drop", "columns": ["shop"]}
    spine = DeclaredSpine.model_validate(
        {"name": "rows", "table": table, "drops": {"grain": "monthly", "start": "2024-01"}, **keyed}
    )
    model = DeclaredModel.model_validate(
        {
            "name": "sold",
            "description": "Whether it is sold.",
            "spine": "rows",
            "features": ["any"],
            "slices": ["shop"],
            "label": {"column": "label", "known_at": "known"},
            "split": {"validation": "10d", "holdout": "10d", "gap": "1d"},
        }
    )
    return ModelContext.of(model, spine, views, "shop")


def test_features_are_traced_to_the_columns_of_sources():
    upstream = Upstream([source("weather"), source("orders")], lambda table: LINEAGE.get(table, {}))
    origins = origins_of(context(WEATHER_VIEW, ROW_VIEW), upstream)
    temp = SourceColumn(source="weather", column="c")
    rain = SourceColumn(source="staged", column="r")
    assert origins["warmth"].columns == (temp,)
    # Nothing is recorded of what this column is made of, so that it is named itself.
    assert origins["wet"].columns == (SourceColumn(source="hourly", column="humid"),)
    assert origins["rain_sum_1d"].columns == (rain,)
    assert origins["ratio"].columns == (rain, temp)
    assert origins["reports_count_1d"].columns == (SourceColumn(source="hourly", column="seen_at"),)
    assert (origins["size"].table, origins["size"].sources) == ("orders/validated", {"orders"})
    assert origins["now_weekday"].columns == ()


def test_an_event_about_a_column_reaches_the_features_that_are_made_of_it_alone(lake):
    delivered(lake, "weather", "2024-03", c=pl.Series([1.0] * 100))
    origins = origins_of(context(WEATHER_VIEW), Upstream([source("weather")], lambda table: LINEAGE.get(table, {})))
    events = events_of(lake, [source("weather")], "2024-03", BEFORE)
    assert [event.kind for event in events] == ["schema", "late"]
    by_source = reached(events, ["warmth", "wet", "rain_sum_1d"], origins)
    assert by_source == {"weather": (events, ["warmth"])}


# A drop as a whole


class World:
    """A lake with a reference of January and the predictions of March, whose shop c turned around."""

    def __init__(self, lake: Lake) -> None:
        rng = np.random.default_rng(0)
        self.lake, self.model = lake, context(ROW_VIEW)
        self.model = replace(
            self.model, monitoring=self.model.monitoring.model_copy(update={"exclude": ["now_weekday"]})
        )
        self.registry = SimpleNamespace(
            inputs=lambda *_: None,
            load=lambda *_, **__: SimpleNamespace(features=["size", "now_weekday"]),
        )
        before, later = (self.rows(rng, month, turned=month == 3) for month in (1, 3))
        answers = ["id", "at", "_drop", "score", "prediction", "model_version"]
        lake.replace(
            "orders/validated", pl.concat([before, later]).drop(*answers[3:]), {"_drop": ["2024-01", "2024-03"]}
        )
        lake.replace("sold/reference", before.with_columns(now_weekday=pl.lit(1)))
        lake.replace("sold/predictions", later.select(answers), {"_drop": ["2024-03"]})

    def rows(self, rng: np.random.Generator, month: int, *, turned: bool) -> pl.DataFrame:
        count = 1_200
        minutes = np.sort(rng.integers(0, 28 * 24 * 60, count))
        size, shop = rng.normal(size=count), rng.choice(["a", "b", "c"], count)
        score = 1 / (1 + np.exp(-2 * size))
        chance = np.where((shop == "c") & turned, 1 - score, score)
        at = [datetime(2024, month, 1, tzinfo=UTC) + timedelta(minutes=int(minute)) for minute in minutes]
        return pl.DataFrame(
            {
                "id": np.arange(count) + month * 10_000, "at": at, "size": size, "shop": shop,
                "label": (rng.random(count) < chance).astype(np.int64), "known": at,
                "_drop": [f"2024-{month:02d}"] * count, "score": score,
                "prediction": (score > 0.5).astype(np.int64), "model_version": ["1"] * count,
            }
        ).with_columns(pl.col("at", "known").dt.cast_time_unit("us"))  # fmt: skip


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    listened = pl.DataFrame({"feature": ["size"], "importance": [1.0], "share": [1.0]})
    monkeypatch.setattr(explain, "explain", lambda *_, **__: listened)
    monkeypatch.setattr(predictions, "scored", lambda rows, _: rows)
    monkeypatch.setattr(of_drop, "LEAST_LABELS", 200)
    return World(Lake(str(tmp_path)))


def decided(drop: str, *breached: str) -> SimpleNamespace:
    evidence = [
        SimpleNamespace(kind=kind, breached=kind in breached) for kind in ("realised", "estimated", "drift", "age")
    ]
    return SimpleNamespace(drop=drop, evidence=evidence)


def test_a_drop_whose_performance_fell_is_diagnosed_and_kept_once(world):
    falls = [decided("2024-03", "realised")]
    for _ in range(2):
        (record,), without = diagnose_falls(world.lake, world.registry, world.model, falls, Upstream())
        assert without == {}
    assert read_diagnoses(world.lake, "sold") == [record]
    assert (record.drop, record.version, record.labels_until) == ("2024-03", "1", "2024-03")
    first = record.diagnosis.causes[0]
    assert (first.kind, first.subject) == ("slice", "shop = c")
    assert record.diagnosis.slices[0].declared
    shown = world.lake.scan("sold/diagnoses").collect().row(0, named=True)
    assert (shown["_drop"], shown["cause"], shown["subject"]) == ("2024-03", "slice", "shop = c")


@pytest.mark.parametrize("column", ["shop", "size"])
def test_values_of_private_columns_are_in_no_diagnosis(world, monkeypatch, column):
    monkeypatch.setattr("ml_assets.quality.contracts.load_contract", lambda reference: reference)
    monkeypatch.setattr("ml_assets.quality.contracts.private_columns", lambda _: frozenset({column}))
    own = replace(world.model, contracts={"orders/validated": "shop.contracts:Rows"})
    (record,), _ = diagnose_falls(world.lake, world.registry, own, [decided("2024-03", "realised")], Upstream())
    stored = "\n".join(world.lake.scan("sold/diagnoses").collect().write_ndjson().splitlines() + lines_of(record))
    about = [each for found in record.diagnosis.slices for each in found.conditions if each.column == column]
    assert all(each.missing or (each.value.startswith("(private ") and each.above is None) for each in about)
    if column == "shop":
        assert record.diagnosis.causes[0].subject in ("shop = (private 3)",)
    assert not re.search(rf"{column} = [^(]|{column} [<>]|< {column}\b", stored)


def test_what_is_made_of_private_columns_is_private_and_counts_are_not(monkeypatch):
    private = {"a": frozenset({"c", "r"}), "b": frozenset({"size", "shop"})}
    monkeypatch.setattr("ml_assets.quality.contracts.load_contract", lambda reference: reference)
    monkeypatch.setattr("ml_assets.quality.contracts.private_columns", private.get)
    own = replace(context(WEATHER_VIEW, ROW_VIEW), contracts={"weather/validated": "a", "orders/validated": "b"})
    names = [*own.features, "shop", "id"]
    assert own.private(names) == {"size", "shop"}
    traced = own.private(names, lambda table: LINEAGE.get(table, {}))
    assert traced == {"size", "shop", "warmth", "ratio"}
    watched = replace(own, contracts={}, monitoring=own.monitoring.model_copy(update={"private": ["wet"]}))
    assert watched.private(names) == {"wet"}


def test_a_drop_that_is_beyond_no_limit_of_performance_is_not_diagnosed(world):
    found = diagnose_falls(world.lake, world.registry, world.model, [decided("2024-03", "drift", "age")], Upstream())
    assert found == ([], {})
    assert read_diagnoses(world.lake, "sold") == []


def test_a_drop_without_labels_is_looked_at_by_what_its_inputs_make_to_be_expected(world):
    unlabelled = world.lake.scan("orders/validated").with_columns(label=pl.lit(None, pl.Int64)).collect()
    world.lake.replace("orders/validated", unlabelled, {"_drop": ["2024-01", "2024-03"]})
    (record,), _ = diagnose_falls(
        world.lake, world.registry, world.model, [decided("2024-03", "estimated")], Upstream()
    )
    found = record.diagnosis
    # The inputs are as before: of what has turned around nothing can be seen.
    assert (found.basis, found.fell, found.causes, found.slices) == ("estimated", False, (), ())
    assert found.decomposition.relation is None
    assert "changed relation unknown" in lines_of(record)[2]


def test_a_drop_without_rows_is_not_diagnosed_and_says_so(world):
    nothing = world.lake.scan("sold/predictions").head(0).collect()
    world.lake.replace("sold/predictions", nothing, {"_drop": ["2024-03"]})
    falls = [decided("2024-03", "realised")]
    found, without = diagnose_falls(world.lake, world.registry, world.model, falls, Upstream())
    assert (found, without) == ([], {"2024-03": "sold, 2024-03: no row of the drop was scored"})


def test_the_command_looks_at_the_last_drop_and_says_the_record_in_words(world):
    record = find_why(world.lake, world.registry, world.model, None, Upstream())
    lines = lines_of(record)
    assert lines[0] == "sold, 2024-03, version 1, labels known by the end of 2024-03"
    assert lines[3].startswith("  1. the relation changed where shop = c: Brier score 0.")
    with pytest.raises(ValueError, match="--drop 2024-02: sold predicted nothing of it; there are 2024-03"):
        find_why(world.lake, world.registry, world.model, "2024-02", Upstream())


def test_before_anything_is_predicted_the_command_says_so(tmp_path):
    with pytest.raises(NothingToDiagnose, match="sold has predicted nothing yet"):
        find_why(Lake(str(tmp_path)), SimpleNamespace(), context(ROW_VIEW), None, Upstream())
