-- A flight that has landed was under way at least as long as it was in the air, and no longer than a day.
select flight_id, departed_at, arrived_at
from {{ ref('flight_legs') }}
where
    air_minutes is not null
    and (
        arrived_at < departed_at + to_minutes(cast(air_minutes as integer))
        or arrived_at > departed_at + interval 16 hour
    )
