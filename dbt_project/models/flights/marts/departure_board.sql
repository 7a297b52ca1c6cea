-- The board of departures as a stream of changes: a flight joins the queue when it is due and leaves it
-- when it departs, so the sum of changes over the past hours is the number of flights that are waiting.
select
    origin,
    carrier,
    scheduled_departure_at as happened_at,
    1 as change,
    cast(null as bigint) as departure_delay
from {{ ref('stg_flights') }}

union all

select
    origin,
    carrier,
    scheduled_departure_at + to_minutes(cast(departure_delay as integer)) as happened_at,
    -1 as change,
    departure_delay
from {{ ref('stg_flights') }}
where departure_delay is not null

order by happened_at, origin, carrier, change
