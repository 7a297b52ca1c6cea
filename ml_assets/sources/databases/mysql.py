"""MySQL and MariaDB through PyMySQL: every value comes as text, and is read by the type that the server tells."""

from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.sources.databases.dialect import Dialect
from ml_assets.sources.databases.kind import CONNECT_SECONDS, DatabaseKind
from ml_assets.sources.databases.stored import Reading, StoredColumn

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class MySql(DatabaseKind):
    """MySQL and MariaDB, in read-only sessions in UTC."""

    name = "mysql"
    schemes = ("mysql", "mariadb")
    driver = "pymysql"
    # A session is in UTC, so that a moment needs no zone of its own, which only some versions understand.
    dialect = Dialect("`", "CHAR", "TIMESTAMPDIFF(SECOND, '1970-01-01', {0})", beyond="{0} < '0001-01-01'")

    def target(self, text: str, url: "URL") -> str:
        del url
        return self.name + text[text.index("://") :]

    def connect(self, target: str) -> Any:
        import pymysql
        from pymysql.converters import encoders
        from sqlalchemy.engine import make_url

        address = make_url(target).set(drivername="mysql+pymysql")
        _, settings = address.get_dialect()().create_connect_args(address)
        # No decoder: a decimal, a date or a time would come as a Python object, or as none where Python has none such.
        conversions: dict[Any, Any] = dict(encoders)
        connection = pymysql.connect(
            **{"charset": "utf8mb4", "connect_timeout": CONNECT_SECONDS, **settings},
            conv=conversions,
            # In which zone a session lives must not matter to what a TIMESTAMP is.
            init_command="SET SESSION time_zone = '+00:00'",
        )
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        return connection

    def run(self, connection: Any, query: str) -> pl.DataFrame:
        with connection.cursor() as cursor:
            cursor.execute(query)
            # Whether a number has a sign, and a text is bytes, shows nowhere else.
            rows, fields = cursor.fetchall(), cursor._result.fields
        columns = list(zip(*rows, strict=True)) or [()] * len(fields)
        return pl.DataFrame([_typed(field, values) for field, values in zip(fields, columns, strict=True)])

    def stored_columns(self, connection: Any, rows: str) -> list[StoredColumn]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {rows} WHERE 1 = 0")
            return [StoredColumn(field.name, *_kept(field)) for field in cursor._result.fields]


_BYTES = 63
"""The character set of what is no text."""
_UNSIGNED = 32
"""Flag of numbers without a sign."""


_AS_IT_IS = Reading()
_WORDS = {252: "blob", 253: "varbinary", 254: "binary"}
_BINARY = Reading(None, "choose HEX(it) in `where.query`, which is text")

READINGS = {
    **{1: ("tinyint", _AS_IT_IS), 2: ("smallint", _AS_IT_IS), 9: ("mediumint", _AS_IT_IS), 3: ("int", _AS_IT_IS)},
    **{8: ("bigint", _AS_IT_IS), 13: ("year", _AS_IT_IS), 5: ("double", _AS_IT_IS)},
    # Of its own accord the server would send six digits of it.
    4: ("float", Reading("CAST({0} AS DOUBLE)")),
    **{0: ("decimal", _AS_IT_IS), 246: ("decimal", _AS_IT_IS)},
    16: ("bit", Reading("CAST({0} AS UNSIGNED)")),
    **{10: ("date", _AS_IT_IS), 12: ("datetime", _AS_IT_IS), 7: ("timestamp", _AS_IT_IS), 11: ("time", _AS_IT_IS)},
    245: ("json", Reading("CAST({0} AS CHAR)")),
    6: ("null", _AS_IT_IS),
    255: ("geometry", Reading(None, "choose ST_X(it), ST_Y(it) or ST_AsText(it) in `where.query`")),
}
"""Code of a type in the protocol -> its name, and how it is read; all others are text or bytes."""

_NUMBERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "year"}


def _kept(field: Any) -> tuple[str, Reading]:
    if field.type_code in READINGS:
        return READINGS[field.type_code]
    is_bytes = field.charsetnr == _BYTES
    return (_WORDS.get(field.type_code, "bytes"), _BINARY) if is_bytes else ("text", _AS_IT_IS)


def _typed(field: Any, values: tuple) -> pl.Series:
    kept = _kept(field)[0]
    if _kept(field)[1] is _BINARY or kept in ("geometry", "bit"):
        return pl.Series(field.name, values, pl.Binary)
    texts = pl.Series(field.name, values, pl.String)
    if kept in _NUMBERS:
        return texts.cast(pl.UInt64 if kept == "bigint" and field.flags & _UNSIGNED else pl.Int64)
    if kept == "double":
        return texts.cast(pl.Float64)
    if kept == "date":
        return _or_none(texts, texts.str.to_date("%Y-%m-%d", strict=False))
    if kept in ("datetime", "timestamp"):
        zone = "UTC" if kept == "timestamp" else None
        return _or_none(
            texts, texts.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
        ).dt.replace_time_zone(zone)
    return texts


def _or_none(texts: pl.Series, moments: pl.Series) -> pl.Series:
    """Return the moments; for 0000-00-00 and 2024-00-00, which are none, one that no calendar has."""
    never = pl.Series([-(2**31) + 1 if moments.dtype == pl.Date else -(2**63) + 1]).cast(moments.to_physical().dtype)
    return moments.zip_with(moments.is_not_null() | texts.is_null(), never.cast(moments.dtype))
