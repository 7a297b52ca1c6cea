"""The contract of a table, as pushed rows pass it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.online.tables import PushedTable, Refused
from ml_assets.serving.declared import OnlineTable

if TYPE_CHECKING:
    from ml_assets.quality.plain_rules import PlainRules


class ContractGate:
    """The gate of a Pandera model.

    Args:
        contract: `package.module:Class`.
        key: columns that identify a row; empty where none is named.
    """

    def __init__(self, contract: str, key: Sequence[str]) -> None:
        # Pandera takes a second to load, and a server that nobody pushes to by table does without.
        from ml_assets.quality.contracts import contract_schema, load_contract

        self._contract = load_contract(contract)
        self._columns = dict(contract_schema(self._contract))
        self._key = list(key)
        self._plain: PlainRules | None = None
        self._judged: pl.Schema | None = None

    def columns(self) -> Mapping[str, pl.DataType]:
        """Return the columns of a row."""
        return self._columns

    def judge(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Sequence[Refused]]:
        """Divide rows into those that satisfy the contract, and the others with what they broke."""
        from ml_assets.quality.gate import COLUMNS, ROW, RULES, apply_contract
        from ml_assets.quality.plain_rules import plain_rules

        # Only after Pandera has judged such rows once: it refuses columns that a contract cannot be applied to, and
        # knows its own checks by then.
        if self._plain is not None and rows.schema == self._judged and self._plain.hold(rows):
            return rows, []
        judged = apply_contract(rows, self._contract, self._key)
        if rows.schema != self._judged:
            kept = judged.validated.schema == rows.schema
            self._judged, self._plain = rows.schema, plain_rules(self._contract, self._key) if kept else None
        broken = judged.quarantine.select(ROW, RULES, COLUMNS).rows()
        return judged.validated, [Refused(row - 1, rules, columns) for row, rules, columns in broken]


def pushed_table(table: OnlineTable) -> PushedTable:
    """Return a declared table as one that takes facts; its contract is loaded when the first come."""
    gate = partial(ContractGate, table.contract, table.key) if table.contract else None
    return PushedTable(table.table, table.views, gate, timedelta(seconds=table.ahead_seconds))
