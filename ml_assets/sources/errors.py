"""What can be wrong with a delivery."""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

Kind = Literal[
    "missing file",
    "unreachable",
    "corrupt archive",
    "undecodable bytes",
    "unparsable",
    "query failed",
    "missing column",
    "wrong type",
    "empty drop",
]


class DeliveryFault(Exception):
    """A fault found inside one delivered file, by code that need not know which source it reads.

    `column`, `row` (1-based, in the file) and `drop` say what is to blame where that is known.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        remedy: str,
        column: str | None = None,
        row: int | None = None,
        drop: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.remedy = kind, detail, remedy
        self.column, self.row, self.drop = column, row, drop


def check_columns(columns: Iterable[str], delivered: Sequence[str], optional: Collection[str] = ()) -> tuple[str, ...]:
    """Return the delivered names beyond `columns`.

    Raises:
        DeliveryFault: one of `columns` was not delivered, and is not `optional`.
    """
    for name in columns:
        if name not in delivered and name not in optional:
            raise DeliveryFault(
                "missing column",
                f"the delivery has {', '.join(delivered)}",
                "have it delivered under this name or change the contract",
                column=name,
            )
    return tuple(name for name in delivered if name not in columns)


class SourceError(ValueError):
    """A drop that cannot be read: one line with source, drop, column where one is to blame, and the remedy.

    Attributes:
        kind: which of the known faults it is.
        source, drop: names; several drops read from one file are named together.
        column: the column to blame, or None.
    """

    def __init__(self, source: str, drop: str, fault: DeliveryFault) -> None:
        self.kind, self.column = fault.kind, fault.column
        self.source, self.drop = source, drop
        column = f", column {fault.column!r}" if fault.column else ""
        super().__init__(f"source {source!r}, drop {drop!r}{column}: {fault.kind}: {fault.detail}; {fault.remedy}")
