"""From delivered values to the types of the contract, as the source declares them to be written."""

from collections.abc import Mapping

import polars as pl

from ml_assets.sources.csv.dialect import plain_values
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.values.column import ColumnFormat
from ml_assets.sources.values.moments import as_moments
from ml_assets.sources.values.typed import check_fits, typed_column

UNREAD = "_unread"
"""Column of a delivery that says why a value of the row could not be read, with its text; null where all could."""


def declared_column(
    spec: SourceSpec, values: pl.Series, dtype: pl.DataType, rows: pl.Series | None = None
) -> tuple[pl.Series, pl.Series | None]:
    """Return the column in the declared dtype, and why delivered values of it became null, if some did.

    Args:
        rows: 1-based numbers of these rows in the delivered file; by default they are its first rows.

    Raises:
        DeliveryFault: "wrong type", naming the first value that does not fit and its row in the file.
    """
    declared = spec.columns.get(values.name, ColumnFormat())
    if declared.is_moment and values.dtype != pl.Null:
        return _moments(values, dtype, declared, rows)
    if values.dtype == pl.String and spec.reader.as_texts:
        plain = plain_values(values, dtype, spec.csv, declared.unit)
        check_fits(values, plain, f"{dtype}", rows)
        return typed_column(plain, dtype, rows), None
    return typed_column(values, dtype, rows), None


def declared_frame(
    spec: SourceSpec, table: pl.DataFrame, schema: Mapping[str, pl.DataType], rows: pl.Series | None = None
) -> pl.DataFrame:
    """Return all columns of `schema` in its types; and `_unread` (String) where a value may go to quarantine."""
    columns, reasons = [], []
    for name, dtype in schema.items():
        values, reason = declared_column(spec, table[name], dtype, rows)
        columns.append(values)
        reasons += [] if reason is None else [reason.alias(name)]
    frame = pl.DataFrame(columns)
    if _may_lose(spec):
        texts = pl.DataFrame(reasons).select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True)).to_series()
        frame = frame.with_columns(texts.replace("", None).alias(UNREAD))
    return frame


def empty_frame(spec: SourceSpec, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the frame that `declared_frame` makes of no rows."""
    return pl.DataFrame(schema=dict(schema) | ({UNREAD: pl.String} if _may_lose(spec) else {}))


def _may_lose(spec: SourceSpec) -> bool:
    return any(declared.may_lose for declared in spec.columns.values())


def cutting_column(spec: SourceSpec, values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return the column that rows are cut into drops by; a row whose time goes to quarantine lies in a drop as well."""
    declared = spec.columns.get(values.name, ColumnFormat())
    nearest = {field: "earliest" for field in ("ambiguous", "missing") if getattr(declared, field) == "quarantine"}
    near = declared.model_copy(update=nearest)
    return declared_column(spec.model_copy(update={"columns": {values.name: near}}), values, dtype)[0]


def _moments(
    values: pl.Series, dtype: pl.DataType, declared: ColumnFormat, rows: pl.Series | None
) -> tuple[pl.Series, pl.Series | None]:
    moments = as_moments(values, dtype, declared)
    lost = moments.ambiguous | moments.missing
    form = f"{'date' if dtype == pl.Date else 'time'} of the form {declared.format or 'YYYY-MM-DD HH:MM:SS'}"
    check_fits(values.set(lost, None) if lost.any() else values, moments.values, form, rows)
    if not declared.may_lose:
        return moments.values, None
    texts = values.cast(pl.String)
    reason = pl.select(
        pl.when(lost).then(
            pl.format(
                "{}: {} local time '{}'",
                pl.lit(values.name),
                pl.when(moments.ambiguous).then(pl.lit("ambiguous")).otherwise(pl.lit("missing")),
                texts,
            )
        )
    ).to_series()
    return moments.values, reason
