"""What a contract declares of a delivery's columns: their types, and which of them a drop may lack."""

from collections.abc import Mapping, Sequence

import polars as pl

from ml_assets.sources.drops.grains import WHOLE

Schema = Mapping[str, pl.DataType]


class DropSchema(dict[str, pl.DataType]):
    """Column -> type, in the order of the contract.

    Attributes:
        begins: columns that drops may lack -> the first drop that has it, or None where any drop may lack it.
    """

    def __init__(self, columns: Schema, begins: Mapping[str, str | None]) -> None:
        super().__init__(columns)
        self.begins = dict(begins)


def columns_that_begin(schema: Schema) -> dict[str, str | None]:
    """Return the columns that some drop may lack, each with the first drop that has it, or None where any may
    lack it."""
    return schema.begins if isinstance(schema, DropSchema) else {}


def may_lack(schema: Schema, drops: Sequence[str] | None) -> set[str]:
    """Return the columns that a delivery of these drops need not have."""
    return {
        name
        for name, since in columns_that_begin(schema).items()
        if since is None or (drops and all(is_before(drop, since) for drop in drops))
    }


def is_before(drop: str, since: str) -> bool:
    """Return whether a drop precedes the one in which a column begins; a source that comes whole has no drop before."""
    return drop != WHOLE and drop < since
