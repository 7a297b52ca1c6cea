select
    origin,
    observed_at,
    temperature_f,
    temperature_f - dew_point_f as dew_point_spread_f,
    humidity,
    wind_direction,
    wind_speed_mph,
    wind_gust_mph,
    precipitation_inches,
    pressure_mbar,
    visibility_miles
from {{ ref('stg_weather') }}
order by observed_at, origin
