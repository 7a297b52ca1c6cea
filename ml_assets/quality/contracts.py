"""Contracts: Pandera polars models, loaded by name and described for people."""

import importlib
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.quality.errors import ContractError

if TYPE_CHECKING:
    import pandera.polars as pa

    Contract = type[pa.DataFrameModel]


def load_contract(reference: str) -> "Contract":
    """The Pandera model at "package.module:Class".

    Raises:
        ContractError: it cannot be imported, is no model, or has optional or pattern columns,
            untyped columns, parsers, or rules that only warn.
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


def contract_schema(contract: "Contract") -> dict[str, pl.DataType]:
    """Column names and dtypes in the order of declaration."""
    dtypes = {name: column.dtype.type for name, column in contract.to_schema().columns.items()}
    return {name: dtype() if isinstance(dtype, type) else dtype for name, dtype in dtypes.items()}


def contract_descriptions(contract: "Contract") -> dict[str, str]:
    """What each column means: the `description` of its Pandera field, empty where there is none."""
    return {name: column.description or "" for name, column in contract.to_schema().columns.items()}


def _refused(schema: "pa.DataFrameSchema") -> str | None:
    """A feature of Pandera that would let rows through unseen or make the tables of two drops differ."""
    for name, column in schema.columns.items():
        if column.regex or not column.required:
            return f"column {name!r} is optional or a pattern; every delivery must have the same columns"
        if column.dtype is None:
            return f"column {name!r} has no type"
    for check in [*schema.checks, *(check for column in schema.columns.values() for check in column.checks)]:
        if check.raise_warning:
            return f"rule {check.name!r} only warns; a broken rule sends its row to quarantine, so drop it"
    return None
