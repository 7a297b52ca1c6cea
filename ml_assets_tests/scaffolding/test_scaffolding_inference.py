"""What sources, spines, views and models are told from a sample and from what is declared."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import yaml

from ml_assets.declarations.specs import DeclaredSpine
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import ExistingDeclarations
from ml_assets.scaffolding.document import render_document
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.model import LabelColumns, check_no_leak, infer_label, infer_model
from ml_assets.scaffolding.samples.sample import Sample, grain_of, read_history, read_sample
from ml_assets.scaffolding.sources.declaration import infer_source, template_source
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.scaffolding.spine import find_or_infer_spine, infer_made_spine, infer_spine
from ml_assets.scaffolding.tables import infer_tables
from ml_assets.scaffolding.view import infer_view
from ml_assets.sources.delivery.read import read_drops
from ml_assets.sources.spec import SourceSpec
from ml_assets.training.tasks import suggest_task

pytestmark = pytest.mark.slow

START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")


def parcels(rows=100):
    return pl.DataFrame(
        {
            "courier": [f"courier {i % 7}" for i in range(rows)],
            "id": range(rows),
            "km": [i / 10 for i in range(rows)],
            "sent_at": [START + timedelta(hours=12 * i) for i in range(rows)],
            "arrived_at": [None if i == 3 else START + timedelta(hours=12 * i + 30) for i in range(rows)],
            "late": [i % 3 == 0 for i in range(rows)],
        }
    ).with_columns(pl.col("sent_at", "arrived_at").dt.cast_time_unit("us"))


def inferred(table=None, drops=(), grain_of_files=None, **wanted):
    sample = Sample(parcels() if table is None else table, drops, grain_of_files)
    return infer_source("parcels", "shop.parcels.contract", Wanted({"path": "parcels.csv"}, **wanted), sample)


def test_a_source_has_its_key_its_drops_and_what_was_never_missing():
    new = inferred(timestamp="sent_at", label="late", known_at="arrived_at")
    assert new.values["key_columns"] == ["id"]
    assert new.values["drops"] == {"grain": "monthly", "column": "sent_at", "start": "2024-01"}
    assert new.values["required"] == ["courier", "km", "sent_at"]
    assert new.values["contract"] == "shop.parcels.contract:Parcels"
    assert SourceSpec(**new.values).format == "csv"


def test_of_several_columns_that_could_be_the_key_the_name_decides_and_the_others_are_told():
    table = pl.DataFrame({"sku": ["a", "b"], "parcel_no": [5, 6], "parcels_id": [1, 2]})
    new = inferred(table)
    assert new.values["key_columns"] == ["parcels_id"]
    assert new.notes["key_columns"] == "Inferred: unique in the sample. So are parcel_no, sku."


def test_a_key_may_need_the_timestamp_too():
    day = [START, START, START + timedelta(days=1), START + timedelta(days=1)]
    table = pl.DataFrame({"station": ["a", "b", "a", "b"], "at": day, "celsius": [1.0, 2.0, 3.0, 4.0]})
    assert inferred(table, timestamp="at").values["key_columns"] == ["station", "at"]
    with pytest.raises(ScaffoldError, match="no column alone identifies a row of parcels: give --key for each column"):
        inferred(table)


def test_a_given_key_is_taken_and_the_rows_that_it_does_not_tell_apart_are_counted():
    assert inferred(key=["courier"]).notes["key_columns"] == "93 of 100 rows of the sample lack it or repeat it."


def in_order(tmp_path, text="colour,late\nred,0\nblue,1\nred,1\n", **wanted):
    (tmp_path / "parcels.csv").write_text(text)
    where = {"path": str(tmp_path / "parcels.csv")}
    return infer_source("parcels", "shop.parcels.contract", Wanted(where, **wanted), read_sample(where, None))


def test_rows_without_a_time_get_one_from_their_order_and_a_key_from_their_place(tmp_path):
    new = in_order(tmp_path, order_start="2024-01-31", order_step="1d", label="late")
    assert new.values["order"] == {
        "number": "row_number", "moment": "row_moment", "start": "2024-01-31", "step": "1d"
    }  # fmt: skip
    assert new.values["drops"] == {"grain": "monthly", "column": "row_moment", "start": "2024-01"}
    assert new.values["key_columns"] == ["row_number"]
    source = SourceSpec(**new.values)
    contract = {"row_number": pl.Int64, "row_moment": MOMENT, "colour": pl.String, "late": pl.Int64}
    drops = read_drops(source, None, contract)
    assert {name: drop.frame["colour"].to_list() for name, drop in drops.items()} == {
        "2024-01": ["red"], "2024-02": ["blue", "red"]
    }  # fmt: skip


def test_a_place_may_be_told_by_a_column(tmp_path):
    text = "id,colour\n7,red\n5,blue\n"
    new = in_order(tmp_path, text, order_start="2024-01-01", order_step="1h", order_by="id")
    assert new.values["order"] == {"by": "id", "moment": "row_moment", "start": "2024-01-01", "step": "1h"}
    assert new.values["key_columns"] == ["id"]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"order_step": "1h"}, "need both --order-start"),
        ({"order_start": "2024-01-01", "order_step": "1 hour"}, "step: '1 hour'"),
        ({"order_start": "January", "order_step": "1h"}, "start: 'January' is no ISO 8601 date"),
        ({"order_start": "2024-01-01", "order_step": "1h", "order_by": "place"}, "there is no column 'place'"),
    ],
)
def test_an_order_that_cannot_be_is_an_error(tmp_path, wanted, why):
    with pytest.raises(ScaffoldError, match=why):
        in_order(tmp_path, **wanted)


def test_zeros_and_ones_of_rows_in_order_are_told_to_be_a_truth(tmp_path, monkeypatch):
    new = in_order(tmp_path, order_start="2024-01-01", order_step="1h", label="late")
    (tmp_path / "ordered_contract.py").write_text(new.contract)
    monkeypatch.syspath_prepend(tmp_path)
    source = SourceSpec(**{**new.values, "contract": "ordered_contract:Parcels"})
    history = read_history(source, ["row_moment", "late"])
    assert history["row_moment"][2] == START + timedelta(hours=2)
    assert suggest_task(pl.Int64(), history["late"]) == "binary"


def test_days_begin_where_the_drops_do():
    night = pl.DataFrame({"id": [1], "at": [datetime(2024, 3, 1, 2, tzinfo=UTC)]})
    assert inferred(night, timestamp="at", grain="daily").values["drops"]["start"] == "2024-03-01"
    western = inferred(night, timestamp="at", grain="daily", time_zone="America/New_York")
    assert western.values["drops"] == {
        "grain": "daily", "column": "at", "time_zone": "America/New_York", "start": "2024-02-29",
    }  # fmt: skip


@pytest.mark.parametrize(("grain", "start", "fail"), [("quarterly", "2024-01", "96d"), ("yearly", "2024", "370d")])
def test_rows_are_cut_into_long_drops(grain, start, fail):
    new = inferred(timestamp="sent_at", grain=grain)
    assert new.values["drops"] == {"grain": grain, "column": "sent_at", "start": start}
    assert new.values["freshness"]["fail"] == fail
    assert f'start: "{start}"' in render_document("ml_assets.Source", SourceSpec, new.values)


def test_files_of_one_drop_each_tell_the_drops():
    new = inferred(drops=("2024-02", "2024-03"), grain_of_files="monthly")
    assert new.values["drops"] == {"grain": "monthly", "start": "2024-02"}


def files(*months):
    """A parcel a day of each month: sent in it, and arrived the day after."""
    tables = []
    for month in months:
        start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
        sent = pl.Series([start + timedelta(days=i) for i in range(29)])
        tables.append(pl.DataFrame({"day": sent.dt.date(), "arrived_at": sent + timedelta(days=2), "sent_at": sent}))
    table = pl.concat(tables).with_row_index("id")
    heights = tuple(part.height for part in tables)
    return Sample(table, tuple(months), "monthly", heights=heights, read=tuple(months))


def test_a_list_that_is_delivered_anew_each_month_has_its_keys_once_in_each():
    two = files("2024-02", "2024-03")
    where = {"path": "{partition}.csv"}
    assert "key_scope" not in infer_source("parcels", "x", Wanted(where), two).values
    anew = replace(two, table=two.table.with_columns(id=pl.col("id") % 29))
    assert infer_source("parcels", "x", Wanted(where, key=("id",)), anew).values["key_scope"] == "drop"
    twice = replace(two, table=two.table.with_columns(id=pl.col("id") % 28))
    assert "key_scope" not in infer_source("parcels", "x", Wanted(where, key=("id",)), twice).values


def test_files_of_one_drop_each_are_checked_by_the_moment_that_lies_in_their_periods():
    two = files("2024-02", "2024-03")
    where = {"path": "{partition}.csv"}
    new = infer_source("parcels", "x", Wanted(where), two)
    assert new.values["drops"] == {"grain": "monthly", "column": "sent_at", "start": "2024-02"}
    assert new.notes["drops"].endswith("The sent_at of each row is checked to lie in its file's period.")
    asked = infer_source("parcels", "x", Wanted(where, timestamp="day"), two)
    assert asked.values["drops"]["column"] == "day"
    spilling = replace(two, table=two.table.drop("day", "sent_at"))
    assert "column" not in infer_source("parcels", "x", Wanted(where), spilling).values["drops"]


@pytest.mark.parametrize(
    ("names", "grain"),
    [
        (["2024-01", "2024-02"], "monthly"),
        (["2024-01-01", "2024-01-08"], "weekly"),  # Mondays
        (["2024-01-01"], "daily"),
        (["2024-01-01", "2024-01-02"], "daily"),
        (["2024-01-01T09"], "hourly"),
        (["2024"], "yearly"),
        (["2024-01", "2024-04", "2025-01"], "quarterly"),
        (["2024-01"], "monthly"),
    ],
)
def test_names_of_files_tell_the_grain(names, grain):
    assert grain_of(names) == grain


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"timestamp": "sent"}, r"--timestamp: there is no column 'sent'; there are courier \(text\), id \(Int64\)"),
        ({"timestamp": "km"}, "--timestamp: column 'km' holds no dates"),
        ({"timestamp": "arrived_at"}, "--timestamp: column 'arrived_at' is empty in some rows"),
        ({"label": "delay"}, "--label: there is no column 'delay'"),
        ({"key": ["no"]}, "--key: there is no column 'no'"),
    ],
)
def test_an_option_that_names_what_is_not_there_is_an_error(wanted, why):
    with pytest.raises(ScaffoldError, match=why):
        inferred(**wanted)


def test_a_file_is_sampled_as_it_is_delivered_and_one_of_each_time_where_there_are_many(tmp_path):
    for month in range(1, 6):
        (tmp_path / f"2024-0{month}.csv").write_text(f"id,km\n{month},1.5\n")
    assert read_sample({"path": f"{tmp_path}/2024-01.csv"}, None).table.to_dicts() == [{"id": "1", "km": "1.5"}]
    sample = read_sample({"path": f"{tmp_path}/{{partition}}.csv"}, None)
    assert (sample.table["id"].to_list(), sample.grain, len(sample.drops)) == (["1", "3", "5"], "monthly", 5)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("none.csv", None, "sample: .*none.csv"),
        ("empty.csv", "id,km\n", "has no row to tell types from"),
        ("rows.txt", "id\n1\n", "format: cannot be told from"),
        ("{partition}.csv", None, r"path: there is no file .*partition"),
    ],
)
def test_what_cannot_be_sampled_is_an_error(tmp_path, file, text, why):
    if text is not None:
        (tmp_path / file).write_text(text)
    with pytest.raises(ScaffoldError, match=why):
        read_sample({"path": f"{tmp_path}/{file}"}, None)


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """A project that declares parcels, as the scaffolder would, and couriers, whole."""
    package = f"scaffolded_{abs(hash(tmp_path))}"
    folder = tmp_path / package
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    new = inferred(timestamp="sent_at", label="late", known_at="arrived_at")
    (folder / "parcels.py").write_text(new.contract)
    couriers = pl.DataFrame({"courier": ["courier 0", "courier 1"], "city": ["Ulm", "Bonn"], "since": [2019, 2021]})
    whole = infer_source("couriers", "x", Wanted({"path": "couriers.csv"}, key=("courier",)), Sample(couriers))
    (folder / "couriers.py").write_text(whole.contract)
    sources = {
        "parcels": SourceSpec(**new.values | {"contract": f"{package}.parcels:Parcels"}),
        "couriers": SourceSpec(**whole.values | {"contract": f"{package}.couriers:Couriers"}),
    }
    return ExistingDeclarations(sources)


def test_the_rows_to_predict_are_those_of_the_source_with_drops(declared):
    spine, new = find_or_infer_spine(declared, "", "", "")
    assert new is spine
    assert new.values == {
        "name": "parcels", "table": "parcels/validated", "key": ["id"], "time": "sent_at", "partition": "_drop",
        "drops": {"grain": "monthly", "start": "2024-01"},
    }  # fmt: skip
    with pytest.raises(ScaffoldError, match="--spine: 'couriers' is not declared; there are none"):
        find_or_infer_spine(declared, "couriers", "", "")
    with pytest.raises(ScaffoldError, match="--table: 'parcel' is no source; there are couriers, parcels"):
        infer_spine(declared, table="parcel")
    with pytest.raises(ScaffoldError, match="--timestamp: column 'km' of parcels is a Float64"):
        infer_spine(declared, timestamp="km")


def made_spine(declared, **given):
    values = infer_made_spine(declared, "mornings", "0 6 * * *", "Europe/Paris", **given)
    spine = DeclaredSpine.model_validate(values)
    assert yaml.safe_load(render_document("ml_assets.Spine", DeclaredSpine, values))["attributes"] == values
    return spine


def test_entities_with_a_row_each_are_active_from_their_timestamp(declared):
    spine = made_spine(declared)
    assert (spine.entities.table, spine.entities.key) == ("parcels/validated", ["id"])
    assert (spine.entities.from_, spine.entities.known_at, spine.follows) == ("sent_at", None, "")
    assert (spine.every.cron, spine.every.time_zone) == ("0 6 * * *", "Europe/Paris")
    assert (spine.drops.grain, spine.drops.start) == ("monthly", "2024-01")


def test_entities_with_several_rows_are_as_the_last_known_one_says(declared):
    spine = made_spine(declared, key=["courier"], timestamp="arrived_at")
    assert (spine.entities.key, spine.entities.from_, spine.entities.known_at) == (
        ["courier"],
        "arrived_at",
        "arrived_at",
    )
    with pytest.raises(ScaffoldError, match="--timestamp: column 'km' of parcels is a Float64"):
        made_spine(declared, key=["courier"], timestamp="km")


def test_entities_that_come_whole_follow_the_source_that_is_cut(declared):
    spine = made_spine(declared, table="couriers")
    assert (spine.entities.table, spine.entities.from_) == ("couriers/validated", None)
    assert (spine.follows, spine.drops.start) == ("parcels/validated", "2024-01")


def view(declared, name="made", **given):
    spine, _ = find_or_infer_spine(declared, "", "", "")
    new = infer_view(declared, spine, name, **given)
    values = {key: value for key, value in new.values.items() if key != "spine"}
    return FeatureViewSpec(**values), new


def test_the_row_itself_gives_its_columns_but_neither_key_nor_times_nor_label(declared):
    made, _ = view(declared)
    assert made.request == {"courier": "courier", "km": "km"}
    assert made.spine_entity == ["id"]


def test_earlier_rows_are_counted_and_averaged_as_of_what_was_known(declared):
    made, _ = view(declared, entity=["courier"], known_at="arrived_at", windows=["3d"])
    assert made.feature_names == ["made_rows_count_3d", "made_km_mean_3d", "made_late_mean_3d"]
    assert (made.known_at, made.table, made.entity) == ("arrived_at", "parcels/validated", ["courier"])
    at_once, new = view(declared, entity=["courier"])
    assert at_once.known_at == "sent_at"
    assert "made_late" not in at_once.aggregates  # not known when the parcel is sent
    assert new.notes["aggregates"].startswith("Strike out what is not known yet at sent_at")


def test_a_table_delivered_whole_is_looked_up_by_its_key(declared):
    made, new = view(declared, table="couriers")
    assert made.lookups == {"made_city": "city", "made_since": "since"}
    assert (made.entity, made.known_at) == (["courier"], None)
    assert "always known" in new.notes["table"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"table": "trucks"}, "the columns of trucks are not known"),
        ({"entity": ["driver"]}, "--entity: there is no column 'driver'"),
        ({"entity": ["courier"], "known_at": "km"}, "--known-at: column 'km' of parcels/validated is a Float64"),
    ],
)
def test_a_view_that_cannot_be_told_is_an_error(declared, given, why):
    with pytest.raises(ScaffoldError, match=why):
        view(declared, **given)


def test_the_outcome_is_what_the_contract_marks(declared):
    spine, _ = find_or_infer_spine(declared, "", "", "")
    label = infer_label(declared, spine)
    assert (label.name, label.known_at) == ("late", "arrived_at")
    with pytest.raises(ScaffoldError, match="--label: there is no column 'lat'"):
        infer_label(declared, spine, "lat")


def test_the_split_fits_the_history_and_the_gap_the_slowest_label(declared):
    spine, _ = find_or_infer_spine(declared, "", "", "")
    new = infer_model("late", spine, infer_label(declared, spine), ["row"], history=parcels(100))
    # 100 rows, 12 hours apart: 49.5 days, so 50; the slowest label took 30 hours, so 2 days.
    assert new.values["split"] == {"validation": "7d", "holdout": "10d", "gap": "2d"}
    assert new.values["task"] == "binary"
    assert "100 rows over 50 days; the slowest label took 30.0 hours" in new.notes["split"]
    without = infer_model("late", spine, infer_label(declared, spine), ["row"])
    assert without.values["split"] == {"validation": "28d", "holdout": "28d", "gap": "1d"}


@pytest.mark.parametrize(
    ("dtype", "values", "task"),
    [
        (pl.Boolean(), [True, False], "binary"),
        (pl.Int64(), [0, 1, 1], "binary"),
        (pl.String(), ["a", "b", "c"], "multiclass"),
        (pl.Float64(), [0.5, 1.5], "regression"),
    ],
)
def test_the_task_is_told_from_the_outcome(declared, dtype, values, task):
    spine, _ = find_or_infer_spine(declared, "", "", "")
    rows = pl.DataFrame(
        {"y": pl.Series(values, dtype=dtype), "sent_at": [START] * len(values), "arrived_at": [START] * len(values)}
    )
    label = LabelColumns(Column("y", dtype), "y", "arrived_at")
    assert infer_model("m", spine, label, ["row"], history=rows).values["task"] == task


def test_a_label_that_is_a_feature_is_refused(declared):
    made = FeatureViewSpec(name="row", description="x", entity=["id"], request={"late": "late"})
    with pytest.raises(ScaffoldError, match="late is the label and a feature of view row"):
        check_no_leak(
            ExistingDeclarations(declared.sources, {}, {"row": made}), LabelColumns(None, "late", "arrived_at"), ["row"]
        )


def test_nothing_known_gives_a_template():
    new = template_source("orders", "shop.orders.contract", {"path": "orders.csv"})
    assert SourceSpec(**new.values).key_columns == ["id"]
    assert "class Orders" in new.contract


def test_a_second_use_case_predicts_rows_of_its_own(declared):
    monthly = declared.sources["parcels"]
    visits = monthly.model_copy(update={"name": "visits"})
    first = infer_spine(declared)
    both = ExistingDeclarations(
        {**declared.sources, "visits": visits}, {"parcels": first}, own=frozenset({"source visits"})
    )
    spine, new = find_or_infer_spine(both, "", "", "")
    assert (spine, new.name, new.table) == (new, "visits", "visits/validated")
    named, none = find_or_infer_spine(both, "parcels", "", "")
    assert (named, none) == (first, None)
    over_it = ExistingDeclarations(
        both.sources, {"parcels": first, "visits": new}, own=frozenset({"source visits", "spine visits"})
    )
    assert find_or_infer_spine(over_it, "", "", "") == (new, None)
    elsewhere = ExistingDeclarations(both.sources, {"parcels": first}, own=frozenset())
    assert find_or_infer_spine(elsewhere, "", "", "") == (first, None)


def test_sources_to_choose_from_are_counted_as_what_they_are(declared):
    visits = declared.sources["parcels"].model_copy(update={"name": "visits"})
    three = ExistingDeclarations({**declared.sources, "visits": visits})
    with pytest.raises(ScaffoldError, match="there are 2 sources with drops to choose from: give --table, one of parc"):
        infer_spine(three)


def test_tables_are_those_of_a_dbt_project_that_is_there(declared, tmp_path):
    with pytest.raises(ScaffoldError, match="--project: there is no dbt project sql in"):
        infer_tables(declared, tmp_path, "sql", "models/post")
    (tmp_path / "sql/models/post").mkdir(parents=True)
    (tmp_path / "sql/dbt_project.yml").touch()
    (tmp_path / "sql/models/post/marts.sql").touch()
    with pytest.raises(ScaffoldError, match="--folder: models/mail holds no model; there are models in models/post"):
        infer_tables(declared, tmp_path, "sql", "models/mail")
    assert infer_tables(declared, tmp_path, "sql", "models/post") == {
        "project": "sql", "select": "path:models/post", "folder": "models/post",
        "drops": {"grain": "monthly", "start": "2024-01"},
    }  # fmt: skip
