"""Contracts: Pandera polars models, loaded by name and described for people."""

import importlib
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.quality.errors import ContractError
from ml_assets.sources.schema import DropSchema

if TYPE_CHECKING:
    import pandera.polars as pa

    Contract = type[pa.DataFrameModel]


_DROP = re.compile(r"\d{4}(-Q[1-4]|-\d{2}(-\d{2}(T\d{2})?)?)?")


def load_contract(reference: str) -> "Contract":
    """Return the Pandera model at "package.module:Class".

    Raises:
        ContractError: it cannot be imported, is no model, or has pattern columns, untyped columns, columns that begin
            with something else than a drop, parsers, or rules that only warn.
    """
    import pandera.polars as pa

    module_name, _, class_name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ContractError(
            f"contract {reference!r}: module {module_name!r} cannot be imported ({error}); "
            "write the contract as 'package.module:Class'"
        ) from error
    except Exception as error:
        raise ContractError(f"contract {reference!r}: module {module_name!r} fails at {_failure(error)}") from error
    contract = getattr(module, class_name, None)
    if not (isinstance(contract, type) and issubclass(contract, pa.DataFrameModel)):
        raise ContractError(f"contract {reference!r} names no pandera.polars.DataFrameModel")
    try:
        refused = _refused(contract.to_schema())
    except pa.errors.SchemaInitError as error:
        raise ContractError(f"contract {reference!r}: {error}") from error
    if refused:
        raise ContractError(f"contract {reference!r}: {refused}")
    return contract


def contract_schema(contract: "Contract") -> DropSchema:
    """Return column names and dtypes in the order of declaration, and which columns a drop may lack.

    A column is optional as Pandera has it, `rain: Optional[pl.Float64]`, or begins with a drop:
    `rain: pl.Float64 = pa.Field(metadata={"since": "2024-04"})`.
    """
    columns = contract.to_schema().columns
    dtypes = {name: column.dtype.type for name, column in columns.items()}
    begins = {
        name: None if not column.required else _since(column)
        for name, column in columns.items()
        if not column.required or _since(column)
    }
    return DropSchema({name: _instance(dtype) for name, dtype in dtypes.items()}, begins)


def as_kept(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame as tables keep it: a Duration as whole microseconds, all else as it is."""
    return frame.with_columns(pl.col(pl.Duration).dt.total_microseconds())


def as_declared(frame: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Return a frame that `as_kept` made, in the contract's types."""
    spans = [name for name, dtype in schema.items() if dtype == pl.Duration and frame.schema.get(name) == pl.Int64]
    return frame.with_columns(pl.col(spans).cast(pl.Duration("us"))) if spans else frame


def contract_descriptions(contract: "Contract") -> dict[str, str]:
    """Return what each column means: the `description` of its Pandera field, empty where there is none."""
    return {name: column.description or "" for name, column in contract.to_schema().columns.items()}


def private_columns(contract: "Contract") -> frozenset[str]:
    """Return the columns that are shown to nobody: `email: pl.String = pa.Field(metadata={"private": True})`."""
    columns = contract.to_schema().columns
    return frozenset(name for name, column in columns.items() if (column.metadata or {}).get("private"))


def _instance(dtype: pl.DataType | type[pl.DataType]) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype


_PARTS = "have its parts delivered as columns of their own"
NOT_KEPT = {
    pl.UInt8: "declare Int16",
    pl.UInt16: "declare Int32",
    pl.UInt32: "declare Int64",
    pl.UInt64: "declare Int64, or String, which holds the digits of any whole number",
    pl.Int128: "declare String, which holds the digits of any whole number",
    pl.UInt128: "declare String, which holds the digits of any whole number",
    pl.Float16: "declare Float32",
    pl.Time: "declare String, which holds 08:30:00",
    pl.Categorical: "declare String, with isin= for its categories",
    pl.Enum: "declare String, with isin= for its categories",
    pl.Binary: "declare String and have it delivered as text, such as hexadecimal",
    pl.List: _PARTS,
    pl.Array: _PARTS,
    pl.Struct: _PARTS,
    pl.Object: "declare the type of its values",
    pl.Null: "declare the type of its values",
    pl.Unknown: "declare the type of its values",
}
"""Types that a contract may not declare -> what to declare in their place."""


def _not_kept(dtype: pl.DataType) -> str | None:
    """Return what to declare in place of a type that a Delta table would lose or change; None for one that it keeps."""
    if isinstance(dtype, pl.Datetime) and (dtype.time_unit != "us" or dtype.time_zone not in (None, "UTC")):
        zone = ', "UTC"' if dtype.time_zone else ""
        return f'declare pl.Datetime("us"{zone})'
    if isinstance(dtype, pl.Duration) and dtype.time_unit != "us":
        return 'declare pl.Duration("us")'
    return NOT_KEPT.get(dtype.base_type())


def _since(column: Any) -> Any:
    """Return the first drop that has the column, where the contract says so."""
    return (column.metadata or {}).get("since")


def _failure(error: Exception) -> str:
    """Return where a module, or one of the project that it imports, fails, and with which error, in one line."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(f, n) for f, n in frames if "site-packages" not in f and Path(f).exists() and f != __file__]
    file, line = own[-1] if own else ("an unknown line", 0)
    message = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        file, line, message = error.filename, error.lineno, error.msg
    return " ".join(f"{file}:{line}: {type(error).__name__}: {message}".split())


def _refused(schema: "pa.DataFrameSchema") -> str | None:
    """Return a feature of Pandera that would let rows through unseen or make the tables of two drops differ."""
    for name, column in schema.columns.items():
        if column.regex:
            return f"column {name!r} is a pattern; every table must have the same columns"
        since = _since(column)
        if since is not None and not (isinstance(since, str) and _DROP.fullmatch(since)):
            return f"column {name!r} begins with {since!r}, which is no drop such as '2024-04': since needs its name"
        if column.dtype is None:
            return f"column {name!r} has no type"
        dtype = _instance(column.dtype.type)
        if advice := _not_kept(dtype):
            return f"column {name!r} is {dtype}, which no table keeps: {advice}"
    for check in [*(schema.checks or []), *(check for column in schema.columns.values() for check in column.checks)]:
        if check.raise_warning:
            return f"rule {check.name!r} only warns; a broken rule sends its row to quarantine, so drop it"
    return None
