select
    tailnum,
    built_year,
    aircraft_type,
    manufacturer,
    model,
    engines,
    seats,
    engine_type
from {{ ref('stg_planes') }}
order by tailnum
