"""SQL queries: the requested columns of the requested drops, and which drops have changed, as the database says it."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from ml_assets.sources.databases.database import Database, open_database
from ml_assets.sources.delivery.load import RowPlaces
from ml_assets.sources.delivery.request import LoadRequest, SampledRows, Table
from ml_assets.sources.drops.cut import check_cuttable, check_placed, declared_span, drop_names, period_starts, spans
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault, check_columns
from ml_assets.sources.readers.reader import SourceReader, in_key_order
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.values.exact import zone_of

SAMPLED_ROWS = 100_000


class SqlReader(SourceReader):
    """Runs the query of `where` on its database, cut to what is requested."""

    what = "a query"
    reads_queries = True
    takes_partitions = False

    def check(self, spec: SourceSpec) -> None:
        super().check(spec)
        if spec.drops.column in spec.columns:
            raise ValueError(f"columns: drops are cut by {spec.drops.column}: let `where.query` make a moment of it")

    def load(self, request: LoadRequest) -> Table:
        with open_database(request.spec.where.database_query.connection).connected() as database:
            return self._load(request, database)

    def _load(self, request: LoadRequest, database: Database) -> Table:
        spec, query = request.spec, request.spec.where.database_query
        stored = {column.name: column for column in database.columns(query.rows)}
        extra = check_columns(request.columns, list(stored), request.optional)
        columns = [name for name in request.columns if name in stored]
        dialect = database.dialect
        selected = ", ".join(stored[name].expression(dialect.column(name)) for name in columns)
        statement = f"SELECT {selected} FROM {query.rows}"
        if request.cut is not None:
            dtype = _cut_type(spec.drops, request.schema)
            inside = spans(request.cut, spec.drops, dtype)
            statement += f" WHERE {dialect.within(spec.drops.cut_column, dtype, inside)}"
        table = database.run(statement)
        table = table.with_columns(stored[name].decoded(table[name]) for name in columns)
        return in_key_order(spec, table), extra

    def exists(self, spec: SourceSpec) -> bool:
        return _state(spec) is not None

    def held(self, spec: SourceSpec, schema: Schema) -> list[str]:
        return list(self.drop_states(spec, schema))

    def state(self, spec: SourceSpec, now: float, settle: float) -> str | None:
        """Return the state of all rows where it costs little; otherwise each drop's own is queried every time."""
        del now, settle
        return _state(spec) if spec.drops.grain == WHOLE or spec.where.changed else ""

    def drop_states(self, spec: SourceSpec, schema: Schema) -> dict[str, str]:
        """Return for each declared drop with rows a text that changes when they do, as far as `Where.changed` shows it.

        Raises:
            DeliveryFault: the query fails, or no row tells its drop.
        """
        drops, dtype, query = spec.drops, _cut_type(spec.drops, schema), spec.where.database_query
        database = open_database(query.connection)
        dialect = database.dialect
        counted = database.run(
            f"SELECT {dialect.bucket(drops.cut_column)} AS bucket, {', '.join(_measures(spec, database))} "
            f"FROM {query.rows} "
            f"WHERE {dialect.within(drops.cut_column, dtype, [declared_span(drops, dtype)])} GROUP BY 1"
        )
        lost = counted.filter(pl.col("bucket").is_null())
        counted = counted.filter(pl.col("bucket").is_not_null())
        if counted.is_empty() and lost.height:
            check_placed(drops, lost["row_count"][0], lost["row_count"][0])
        zone = "UTC" if zone_of(dtype) else None
        moments = pl.from_epoch(counted["bucket"].cast(pl.Int64)).dt.replace_time_zone(zone)
        starts = period_starts(moments.alias(drops.cut_column), drops)
        texts = counted.with_columns(pl.all().cast(pl.String).fill_null(""))
        lines = texts.select(pl.concat_str(pl.all(), separator="\t")).to_series()
        by_start: dict[datetime, list[str]] = {}
        for start, line in zip(starts, lines, strict=True):
            by_start.setdefault(start, []).append(line)
        return {
            drop_names(pl.Series([start]), drops)[0]: hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
            for start, lines in sorted(by_start.items())
        }

    def count_rows(self, spec: SourceSpec, schema: Schema, ingested: list[str]) -> RowPlaces:
        """Count by ranges of the column that the query is cut by, which an index gives without reading other rows."""
        drops, dtype, query = spec.drops, _cut_type(spec.drops, schema), spec.where.database_query
        database = open_database(query.connection)
        dialect, column, declared = database.dialect, drops.cut_column, declared_span(drops, dtype)
        value, real = dialect.moment(column), dialect.real(column)
        taken = [f"NOT ({dialect.inside(column, dtype, span)})" for span in spans(ingested, drops, dtype)]
        conditions = {
            "before": f"{value} < {dialect.literal(dtype, declared.lower)}{real}",
            "unknown": dialect.unknown(column),
            "waiting": " AND ".join([dialect.inside(column, dtype, declared), *taken]) + real,
        }
        if declared.upper is not None:
            conditions["after"] = f"{value} >= {dialect.literal(dtype, declared.upper)}{real}"
        counts = [
            f"(SELECT COUNT(*) FROM {query.rows} WHERE {condition}) AS {dialect.column(place)}"
            for place, condition in conditions.items()
        ]
        return RowPlaces(**{"after": 0} | database.run(f"SELECT {', '.join(counts)}").row(0, named=True))

    def sample(self, spec: SourceSpec, names: Sequence[str] | None) -> SampledRows:
        """Return the first 100,000 rows of the columns that can be read, and why each other one cannot."""
        del names
        with open_database(spec.where.database_query.connection).connected() as database:
            return self._sample(database, spec.where.database_query.rows)

    def _sample(self, database: Database, rows: str) -> SampledRows:
        stored = database.columns(rows)
        readable = [column for column in stored if column.left_out is None]
        left_out = {column.name: column.left_out for column in stored if column.left_out}
        if not readable:
            return SampledRows([pl.DataFrame()], left_out=left_out)
        selected = ", ".join(column.expression(database.dialect.column(column.name)) for column in readable)
        table = database.run(f"SELECT {selected} FROM {rows} LIMIT {SAMPLED_ROWS}")
        decoded = table.with_columns(column.decoded(table[column.name]) for column in readable)
        return SampledRows([decoded], left_out=left_out)


def _state(spec: SourceSpec) -> str | None:
    """Return a text that changes when rows of the query do, as far as `Where.changed` shows it; None without rows.

    With `Where.changed` it is its maximum, which an index gives without counting rows.
    """
    query = spec.where.database_query
    database = open_database(query.connection)
    measures = _measures(spec, database)
    requested = measures[1:] if query.changed else measures
    values = database.run(f"SELECT {', '.join(requested)} FROM {query.rows}").row(0, named=True)
    if None in values.values() or values.get("row_count") == 0:
        return None
    return " ".join(f"{name}={value}" for name, value in values.items())


def _measures(spec: SourceSpec, database: Database) -> list[str]:
    """Return expressions for how many rows there are and the largest values, by which a change shows."""
    dialect, changed = database.dialect, spec.where.changed
    largest = "CAST(MAX({}) AS {})" if changed else "MAX(CAST({} AS {}))"
    names = [changed] if changed else spec.key_columns
    maxima = [f"{largest.format(dialect.column(name), dialect.text)} AS largest_{i}" for i, name in enumerate(names)]
    return ["COUNT(*) AS row_count", *maxima]


def _cut_type(drops: Drops, schema: Mapping[str, pl.DataType]) -> pl.DataType:
    """Return the type of the column that drops are cut by; raises DeliveryFault where it cannot be cut."""
    column = drops.cut_column
    if column not in schema:
        raise DeliveryFault(
            "missing column", "drops are cut by it, but the contract has none", "change `drops.column`", column
        )
    check_cuttable(column, schema[column], drops)
    return schema[column]


SQL = SqlReader()
