"""Rules that several kinds of declarations share; each problem is a text that begins with the field."""

from collections.abc import Callable, Iterable, Iterator

import polars as pl

from ml_assets.declarations.coherence.tables import Columns


def missing_columns(columns: Columns | None, table: str, field: str, names: Iterable[str]) -> Iterator[str]:
    """Yield a problem if a table lacks columns; none for a table whose columns are unknown."""
    if columns is not None:
        for name in names:
            if name not in columns:
                yield f"{field}: {table} has no column {name!r}; it has {', '.join(columns)}"


def wrong_type(
    columns: Columns | None, field: str, name: str, dtypes: tuple[type[pl.DataType], ...], wanted: str
) -> Iterator[str]:
    """Yield a problem if a column's declared type is none of the given types."""
    dtype = (columns or {}).get(name)
    if dtype is not None and not isinstance(dtype, dtypes):
        yield f"{field}: column {name!r} is {dtype}, it must be {wanted}"


def no_moment(columns: Columns | None, field: str, name: str) -> Iterator[str]:
    """Yield a problem if a column that is to hold moments holds something else, or times without a zone."""
    yield from wrong_type(columns, field, name, (pl.Datetime,), "a moment (Datetime)")
    dtype = (columns or {}).get(name)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        advice = 'declare pl.Datetime("us", "UTC")'
        yield f"{field}: column {name!r} is a time without a zone, it must be a moment: {advice}"


def message_of(field: str, check: Callable[[], object]) -> Iterator[str]:
    """Yield the message of a check that fails, after the field; a field that ends with a dot stands for a field below
    it."""
    try:
        check()
    except ValueError as error:
        yield f"{field}{'' if field.endswith('.') else ': '}{error}"
