select
    faa as airport,
    name,
    tzone as time_zone,
    lat as latitude,
    lon as longitude
from {{ source('lake', 'airports') }}
where tzone is not null

union all by name

-- Destinations that the source does not list. Both territories keep Atlantic Standard Time all year.
select * from (
    values
        ('BQN', 'Rafael Hernandez', 'America/Puerto_Rico', 18.495, -67.129),
        ('PSE', 'Mercedita', 'America/Puerto_Rico', 18.008, -66.563),
        ('SJU', 'Luis Munoz Marin', 'America/Puerto_Rico', 18.439, -66.002),
        ('STT', 'Cyril E. King', 'America/St_Thomas', 18.337, -64.973)
) as unlisted (airport, name, time_zone, latitude, longitude)
where not exists (
    select 1 from {{ source('lake', 'airports') }} as listed where listed.faa = unlisted.airport
)
