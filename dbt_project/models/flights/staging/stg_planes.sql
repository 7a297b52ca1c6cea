select
    tailnum,
    year as built_year,
    type as aircraft_type,
    manufacturer,
    model,
    engines,
    seats,
    engine as engine_type
from {{ source('lake', 'planes') }}
