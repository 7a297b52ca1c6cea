"""PostgreSQL through ADBC: what each of its types is read as."""

from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.sources.databases.dialect import Dialect
from ml_assets.sources.databases.kind import CONNECT_SECONDS, DatabaseKind
from ml_assets.sources.databases.stored import Reading, StoredColumn
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.exact import first_true
from ml_assets.sources.values.parquet_types import plain_frame

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class PostgreSql(DatabaseKind):
    """PostgreSQL, in sessions that commit by themselves."""

    name = "postgresql"
    schemes = ("postgresql", "postgres")
    driver = "adbc-driver-postgresql"
    dialect = Dialect(
        '"',
        "TEXT",
        "CAST(FLOOR(EXTRACT(EPOCH FROM CASE WHEN isfinite({0}) THEN {0} END)) AS BIGINT)",
        zoned="TIMESTAMPTZ",
        beyond="{0} IN ('infinity', '-infinity')",
    )

    def target(self, text: str, url: "URL") -> str:
        """Return the URL as it is written, with a limit to waiting: SQLAlchemy would write a blank as a plus sign."""
        target = self.name + text[text.index("://") :]
        if "connect_timeout" in url.query:
            return target
        return f"{target}{'&' if '?' in target else '?'}connect_timeout={CONNECT_SECONDS}"

    def connect(self, target: str) -> Any:
        from adbc_driver_postgresql import dbapi

        return dbapi.connect(target, autocommit=True)

    def run(self, connection: Any, query: str) -> pl.DataFrame:
        """Return the rows of a query of no types but those that Arrow has words for."""
        # Numeric and json come as texts with a label.
        return plain_frame(pl.read_database(query, connection))

    def stored_columns(self, connection: Any, rows: str) -> list[StoredColumn]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {rows} WHERE 1 = 0")
            names = [column[0] for column in cursor.description]
        kinds = ", ".join(f"pg_typeof(delivery.{self.dialect.column(name)})::oid" for name in names)
        return [
            StoredColumn(name, kind["shown"], _reading(kind["typname"], kind["typtype"], kind["typcategory"]))
            for name, kind in zip(names, self.run(connection, _TYPES.format(kinds, rows)).rows(named=True), strict=True)
        ]


# The type of every column, a domain's being that which it is made of.
_TYPES = """
WITH RECURSIVE described AS (
    SELECT place, declared
    FROM (SELECT ARRAY[{}] AS kinds FROM (SELECT 1) AS one LEFT JOIN {} ON false) AS single,
        unnest(kinds) WITH ORDINALITY AS each(declared, place)
), kinds AS (
    SELECT place, declared, pg_type.* FROM described JOIN pg_type ON pg_type.oid = declared
    UNION ALL
    SELECT place, declared, base.* FROM kinds JOIN pg_type AS base ON base.oid = kinds.typbasetype
    WHERE kinds.typtype = 'd'
)
SELECT format_type(declared, NULL) AS shown, typname::text, typtype::text, typcategory::text
FROM kinds WHERE typtype <> 'd' ORDER BY place
"""


def _spans(texts: pl.Series) -> pl.Series:
    """Return durations of the microseconds that `READINGS` selects; what has months comes in PostgreSQL's own words."""
    microseconds = texts.cast(pl.Int64, strict=False)
    lost = microseconds.is_null() & texts.is_not_null()
    if lost.any():
        row = first_true(lost)
        raise DeliveryFault(
            "wrong type",
            f"{texts[row]!r} in data row {row + 1} is no Duration, as months differ in length",
            "choose in `where.query` what it shall be, such as EXTRACT(EPOCH FROM it), where a month has 30 days",
            column=texts.name,
        )
    return microseconds.cast(pl.Duration("us"))


_SPAN = (
    "CASE WHEN EXTRACT(YEAR FROM {0}) = 0 AND EXTRACT(MONTH FROM {0}) = 0 "
    "THEN (EXTRACT(EPOCH FROM {0}) * 1000000)::bigint::text ELSE {0}::text END"
)
_AS_IT_IS, _TEXT = Reading(), Reading("{0}::text")

READINGS = {
    **dict.fromkeys(
        ("bool", "int2", "int4", "int8", "float4", "float8", "date", "timestamp", "timestamptz"), _AS_IT_IS
    ),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "char"), _AS_IT_IS),
    **dict.fromkeys(("oid", "xid", "cid"), Reading("{0}::text::bigint")),
    "numeric": _TEXT,
    "money": Reading("{0}::numeric::text"),
    **dict.fromkeys(("uuid", "cidr", "macaddr", "macaddr8", "json", "jsonb", "xml", "bit", "varbit"), _TEXT),
    **dict.fromkeys(("time", "timetz", "pg_lsn", "xid8", "tid"), _TEXT),
    # As text it would always have a mask, /32 for one address.
    "inet": Reading("CASE WHEN {0} IS NOT NULL THEN format('%s', {0}) END"),
    "interval": Reading(_SPAN, decode=_spans),
    "bytea": Reading(None, "choose encode(it, 'hex') in `where.query`, which is text"),
    **dict.fromkeys(
        ("point", "line", "lseg", "box", "path", "polygon", "circle"),
        Reading(None, "choose its numbers in `where.query`, such as it[0] and it[1] of a point"),
    ),
    **dict.fromkeys(("tsvector", "tsquery", "jsonpath"), Reading(None, "choose it::text in `where.query`")),
}
"""Name in pg_type -> how it is read."""

_RANGE = Reading(None, "choose lower(it) and upper(it) in `where.query`")
_RECORD = Reading(None, "choose its fields in `where.query`, such as (it).name")
_BY_KIND = {"r": _RANGE, "m": _RANGE, "c": _RECORD, "e": _TEXT}
"""Kind of a type in pg_type: range, multirange, composite and enum."""

_ARRAY = Reading(None, "choose its elements in `where.query`, such as it[1] or array_to_string(it, ',')")
_UNKNOWN = Reading(None, "choose it::text in `where.query`, or what else of it is wanted")


def _reading(name: str, kind: str, category: str) -> Reading:
    if category == "A" and kind == "b":
        return _ARRAY
    if kind in _BY_KIND or name == "record":
        return _BY_KIND.get(kind, _RECORD)
    return READINGS.get(name, _TEXT if category == "S" or name.startswith("reg") else _UNKNOWN)
