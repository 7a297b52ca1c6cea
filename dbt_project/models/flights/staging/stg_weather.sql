select
    origin,
    time_hour as observed_at,
    temp as temperature_f,
    dewp as dew_point_f,
    humid as humidity,
    wind_dir as wind_direction,
    wind_speed as wind_speed_mph,
    -- A gust is reported only when the wind is gusty; without one it is the wind itself.
    coalesce(wind_gust, wind_speed) as wind_gust_mph,
    precip as precipitation_inches,
    pressure as pressure_mbar,
    visib as visibility_miles
from {{ source('lake', 'weather') }}
