with legs as (

    select
        flights.*,
        airports.time_zone as destination_time_zone,
        flights.scheduled_departure_at
            + to_minutes(cast(flights.departure_delay as integer)) as departed_at
    from {{ ref('stg_flights') }} as flights
    left join {{ ref('stg_airports') }} as airports
        on flights.dest = airports.airport

),

timed as (

    -- The arrival is given as a local time of day. It is the one nearest to the touch-down estimated from
    -- departure and time in the air (scheduled speed where that is unknown).
    select
        *,
        departed_at + to_minutes(cast(coalesce(air_minutes, distance_miles / 7.5) + 25 as integer))
            as expected_arrival_at
    from legs

),

arrived as (

    -- Shifting the estimate by less than half a day to the given time of day needs no date, and stays right
    -- in the night in which an hour of local time occurs twice.
    select
        *,
        expected_arrival_at + to_minutes(cast(
            (
                arrival_minute - hour(timezone(destination_time_zone, expected_arrival_at)) * 60
                - minute(timezone(destination_time_zone, expected_arrival_at)) + 2160
            ) % 1440 - 720 as integer
        )) as arrived_at
    from timed

)

select
    strftime(scheduled_date, '%Y-%m-%d') || '/' || carrier || flight_number || '/' || origin || '/'
        || lpad(cast(scheduled_departure_minute as varchar), 4, '0') as flight_id,
    drop_month,
    carrier,
    flight_number,
    tailnum,
    origin,
    dest,
    route,
    distance_miles,
    scheduled_departure_minute,
    scheduled_arrival_minute,
    (scheduled_arrival_minute - scheduled_departure_minute + 1440) % 1440 as scheduled_minutes,
    count(*) over (partition by origin, time_bucket(interval 1 hour, scheduled_departure_at))
        as scheduled_departures_that_hour,
    count(*) over (partition by origin, scheduled_date) as scheduled_departures_that_day,
    isodow(scheduled_date) as scheduled_weekday,
    dayofyear(scheduled_date) as scheduled_day_of_year,
    scheduled_departure_at,
    scheduled_departure_at - interval 2 hour as prediction_at,
    departed_at,
    arrived_at,
    departure_delay,
    arrival_delay,
    air_minutes,
    arrival_delay >= 15 as is_late
from arrived

order by prediction_at, flight_id
