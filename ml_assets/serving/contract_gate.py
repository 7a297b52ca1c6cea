"""The contract of a table, as pushed rows pass it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

import polars as pl

from ml_assets.online.tables import PushedTable, Refused
from ml_assets.serving.declared import OnlineTable


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

    def columns(self) -> Mapping[str, pl.DataType]:
        """Return the columns of a row."""
        return self._columns

    def judge(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Sequence[Refused]]:
        """Divide rows into those that satisfy the contract, and the others with what they broke."""
        from ml_assets.quality.gate import COLUMNS, ROW, RULES, apply_contract

        judged = apply_contract(rows, self._contract, self._key)
        broken = judged.quarantine.select(ROW, RULES, COLUMNS).rows()
        return judged.validated, [Refused(row - 1, rules, columns) for row, rules, columns in broken]


def pushed_table(table: OnlineTable) -> PushedTable:
    """Return a declared table as one that takes facts; its contract is loaded when the first come."""
    gate = partial(ContractGate, table.contract, table.key) if table.contract else None
    return PushedTable(table.table, table.views, gate, timedelta(seconds=table.ahead_seconds))
