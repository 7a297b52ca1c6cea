select
    _drop as drop_month,
    make_date(year, month, day) as scheduled_date,
    carrier,
    flight as flight_number,
    tailnum,
    origin,
    dest,
    origin || '-' || dest as route,
    distance as distance_miles,
    sched_dep_time // 100 * 60 + sched_dep_time % 100 as scheduled_departure_minute,
    sched_arr_time // 100 * 60 + sched_arr_time % 100 as scheduled_arrival_minute,
    -- 2400 is the midnight that ends a day, 0 the one that begins it: as a time of day they are the same.
    (arr_time // 100 * 60 + arr_time % 100) % 1440 as arrival_minute,
    dep_delay as departure_delay,
    arr_delay as arrival_delay,
    air_time as air_minutes,
    time_hour + to_minutes(cast(minute as integer)) as scheduled_departure_at
from {{ source('lake', 'flights') }}
