"""A SQL query as a source: fetches the asked columns of the asked drops, and tells which drops have changed."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from ml_assets.sources.databases.database import open_database
from ml_assets.sources.drops.cut import (
    Span,
    check_cuttable,
    check_placed,
    declared_span,
    drop_names,
    period_starts,
    spans,
)
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault, check_columns
from ml_assets.sources.spec import SourceSpec, Where

BUCKET_SECONDS = 900
"""Rows are counted by quarters of an hour: days and hours of every time zone begin with one."""


@dataclass(frozen=True)
class Dialect:
    """How a database says things.

    Attributes:
        quote: around a column's name.
        text: the type of texts in a cast.
        seconds: whole seconds since 1970 of a date or moment.
        zoned: begins a literal of a moment with a zone; None where a session in UTC makes it needless.
        compares: whether moments compare as such; else their seconds do.
        beyond: where the database has moments that no calendar has: whether a value is one.
    """

    quote: str
    text: str
    seconds: str
    zoned: str | None = None
    compares: bool = True
    beyond: str | None = None

    def column(self, name: str) -> str:
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote


DIALECTS = {
    "postgresql": Dialect(
        '"',
        "TEXT",
        "CAST(FLOOR(EXTRACT(EPOCH FROM CASE WHEN isfinite({0}) THEN {0} END)) AS BIGINT)",
        zoned="TIMESTAMPTZ",
        beyond="{0} IN ('infinity', '-infinity')",
    ),
    # A session is in UTC, so that a moment needs no zone of its own, which only some versions understand.
    "mysql": Dialect("`", "CHAR", "TIMESTAMPDIFF(SECOND, '1970-01-01', {0})", beyond="{0} < '0001-01-01'"),
    # SQLite keeps moments as texts, in any of several forms.
    "sqlite": Dialect('"', "TEXT", "CAST(strftime('%s', {0}) AS INTEGER)", compares=False),
}


def load_query(
    spec: SourceSpec,
    names: Sequence[str] | None,
    schema: Mapping[str, pl.DataType],
    columns: list[str],
    optional: Collection[str] = (),
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """`delivery.load` of a query, without `optional` columns that it has not; its rows come in any order."""
    database = open_database(spec.where.connection)
    dialect, rows = DIALECTS[database.dialect], rows_of(spec.where)
    stored = {column.name: column for column in database.columns(rows)}
    extra = check_columns(columns, list(stored), optional)
    columns = [name for name in columns if name in stored]
    query = f"SELECT {', '.join(stored[name].expression(dialect.column(name)) for name in columns)} FROM {rows}"
    if names is not None:
        inside = spans(names, spec.drops, _cut_by(spec.drops, schema))
        query += f" WHERE {within(dialect, spec.drops.column, schema[spec.drops.column], inside)}"
    table = database.run(query)
    return table.with_columns(stored[name].decoded(table[name]) for name in columns), extra


def sample_query(where: Where, rows: int) -> tuple[pl.DataFrame, dict[str, str]]:
    """The first rows of the columns that can be read, and why each other one cannot."""
    database = open_database(where.connection)
    stored = database.columns(rows_of(where))
    readable = [column for column in stored if column.left_out is None]
    left_out = {column.name: column.left_out for column in stored if column.left_out}
    if not readable:
        return pl.DataFrame(), left_out
    quote = DIALECTS[database.dialect].column
    selected = ", ".join(column.expression(quote(column.name)) for column in readable)
    table = database.run(f"SELECT {selected} FROM {rows_of(where)} LIMIT {rows}")
    return table.with_columns(column.decoded(table[column.name]) for column in readable), left_out


def query_state(spec: SourceSpec) -> str | None:
    """A text that changes when rows of the query do, as far as `Where.changed` tells; None without rows.

    With `Where.changed` it is its maximum, which an index gives without counting rows.
    """
    database = open_database(spec.where.connection)
    measures = _measures(spec, DIALECTS[database.dialect])
    asked = measures[1:] if spec.where.changed else measures
    found = database.run(f"SELECT {', '.join(asked)} FROM {rows_of(spec.where)}").row(0, named=True)
    if None in found.values() or found.get("row_count") == 0:
        return None
    return " ".join(f"{name}={value}" for name, value in found.items())


def query_digests(spec: SourceSpec, schema: Mapping[str, pl.DataType]) -> dict[str, str]:
    """Declared drop that has rows -> a text that changes when they do, as far as `Where.changed` tells.

    Raises:
        DeliveryFault: the query fails, or no row tells its drop.
    """
    drops, dtype = spec.drops, _cut_by(spec.drops, schema)
    database = open_database(spec.where.connection)
    dialect = DIALECTS[database.dialect]
    seconds = dialect.seconds.format(dialect.column(drops.column))
    bucket = f"{seconds} - (({seconds} % {BUCKET_SECONDS}) + {BUCKET_SECONDS}) % {BUCKET_SECONDS}"
    counted = database.run(
        f"SELECT {bucket} AS bucket, {', '.join(_measures(spec, dialect))} FROM {rows_of(spec.where)} "
        f"WHERE {within(dialect, drops.column, dtype, [declared_span(drops, dtype)])} GROUP BY 1"
    )
    lost = counted.filter(pl.col("bucket").is_null())
    counted = counted.filter(pl.col("bucket").is_not_null())
    if counted.is_empty() and lost.height:
        check_placed(drops, lost["row_count"][0], lost["row_count"][0])
    zone = "UTC" if getattr(dtype, "time_zone", None) else None
    moments = pl.from_epoch(counted["bucket"].cast(pl.Int64)).dt.replace_time_zone(zone).alias(drops.column)
    told = counted.with_columns(pl.all().cast(pl.String).fill_null("")).select(pl.concat_str(pl.all(), separator="\t"))
    by_start: dict[datetime, list[str]] = {}
    for start, line in zip(period_starts(moments, drops), told.to_series(), strict=True):
        by_start.setdefault(start, []).append(line)
    return {
        drop_names(pl.Series([start]), drops)[0]: hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
        for start, lines in sorted(by_start.items())
    }


def count_placed(spec: SourceSpec, schema: Mapping[str, pl.DataType], held: Sequence[str]) -> dict[str, int]:
    """Rows `before` the declared drops, `after` them, of `unknown` drop, and `waiting`: declared, but none of `held`.

    Each is a range of the column that the query is cut by, which an index gives without looking at other rows.
    """
    drops, dtype = spec.drops, _cut_by(spec.drops, schema)
    database = open_database(spec.where.connection)
    dialect = DIALECTS[database.dialect]
    declared = declared_span(drops, dtype)
    name = dialect.column(drops.column)
    value = name if dialect.compares else dialect.seconds.format(name)
    inside = _inside(dialect, value, dtype, declared)
    taken = [f"NOT ({_inside(dialect, value, dtype, span)})" for span in spans(held, drops, dtype)]
    real = f" AND NOT ({dialect.beyond.format(name)})" if dialect.beyond else ""
    conditions = {
        "before": f"{value} < {_literal(dialect, dtype, declared.lower)}{real}",
        "unknown": _unknown(dialect, name, value),
        "waiting": " AND ".join([inside, *taken]) + real,
    }
    if declared.upper is not None:
        conditions["after"] = f"{value} >= {_literal(dialect, dtype, declared.upper)}{real}"
    counts = [
        f"(SELECT COUNT(*) FROM {rows_of(spec.where)} WHERE {condition}) AS {dialect.column(kind)}"
        for kind, condition in conditions.items()
    ]
    return {"after": 0} | database.run(f"SELECT {', '.join(counts)}").row(0, named=True)


def within(dialect: Dialect, column: str, dtype: pl.DataType, inside: Sequence[Span]) -> str:
    """The condition that a moment lies in one of the spans, or is none: such a row must not get lost in silence."""
    name = dialect.column(column)
    value = name if dialect.compares else dialect.seconds.format(name)
    clauses = [_unknown(dialect, name, value)]
    clauses += [f"({_inside(dialect, value, dtype, span)})" for span in inside]
    return " OR ".join(clauses)


def _unknown(dialect: Dialect, name: str, value: str) -> str:
    missing = f"{value} IS NULL"
    return f"{missing} OR {dialect.beyond.format(name)}" if dialect.beyond else missing


def _inside(dialect: Dialect, value: str, dtype: pl.DataType, span: Span) -> str:
    lower = f"{value} >= {_literal(dialect, dtype, span.lower)}"
    return lower if span.upper is None else f"{lower} AND {value} < {_literal(dialect, dtype, span.upper)}"


def _literal(dialect: Dialect, dtype: pl.DataType, moment: datetime) -> str:
    if not dialect.compares:
        return str(int(moment.replace(tzinfo=UTC).timestamp()))
    if dtype == pl.Date:
        return f"DATE '{moment:%Y-%m-%d}'"
    written = f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{dialect.zoned} '{written}+00:00'" if moment.tzinfo and dialect.zoned else f"TIMESTAMP '{written}'"


def rows_of(where: Where) -> str:
    """The query as a table, to stand after FROM."""
    # On lines of its own, as the query may end with a comment.
    return f"(\n{where.query.strip().rstrip(';')}\n) AS delivery"


def _measures(spec: SourceSpec, dialect: Dialect) -> list[str]:
    """How many rows there are and the largest values, by which a change shows."""
    largest = "CAST(MAX({}) AS {})" if spec.where.changed else "MAX(CAST({} AS {}))"
    names = [spec.where.changed] if spec.where.changed else spec.key_columns
    told = [f"{largest.format(dialect.column(name), dialect.text)} AS largest_{i}" for i, name in enumerate(names)]
    return ["COUNT(*) AS row_count", *told]


def _cut_by(drops: Drops, schema: Mapping[str, pl.DataType]) -> pl.DataType:
    if drops.column not in schema:
        raise DeliveryFault(
            "missing column", "drops are cut by it, but the contract has none", "change `drops.column`", drops.column
        )
    check_cuttable(drops.column, schema[drops.column], drops)
    return schema[drops.column]
