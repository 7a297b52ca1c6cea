"""Which columns of its parents each column of a model is made of, read from the compiled SQL."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

Column = tuple[str, str]


def column_lineage(sql: str, parents: Mapping[str, Sequence[str]], columns: Sequence[str]) -> dict[str, list[Column]]:
    """Trace columns of a DuckDB query to the tables that it reads.

    Args:
        sql: the compiled query of one model.
        parents: relation as written in the query (``"db"."schema"."table"``) -> its columns.
        columns: the query's columns to trace.

    Returns:
        column -> sorted (relation, column) pairs; an empty list for one made of no column.
    """
    return {
        column: list(made_of)
        for column, made_of in _traced(
            sql, tuple((relation, tuple(names)) for relation, names in parents.items()), tuple(columns)
        )
    }


@lru_cache(maxsize=256)
def _traced(
    sql: str, parents: tuple[tuple[str, tuple[str, ...]], ...], columns: tuple[str, ...]
) -> tuple[tuple[str, tuple[Column, ...]], ...]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.lineage import lineage
    from sqlglot.optimizer import build_scope, qualify

    schema: dict = {}
    for relation, names in parents:
        table = exp.to_table(relation, dialect="duckdb")
        schema.setdefault(table.catalog, {}).setdefault(table.db, {})[table.name] = dict.fromkeys(names, "any")
    query = qualify.qualify(sqlglot.parse_one(sql, dialect="duckdb"), schema=schema, dialect="duckdb")
    scope = build_scope(query)

    def leaves(column: str) -> list[Column]:
        root = lineage(column, query, schema=schema, dialect="duckdb", scope=scope)
        tables = [node for node in root.walk() if isinstance(node.expression, exp.Table)]
        return sorted({(_relation(node.expression), _bare(node.name)) for node in tables} - {(None, "")})

    return tuple((column, tuple(leaves(column))) for column in columns)


def _relation(table) -> str:
    return ".".join(f'"{part}"' for part in (table.catalog, table.db, table.name))


def _bare(name: str) -> str:
    return name.rsplit(".", 1)[-1].strip('"')
