"""Columns that are shown to nobody: those that a contract marks as private, and what SQL makes of them."""

from collections.abc import Callable, Mapping, Sequence

from ml_assets.declarations.specs import DeclaredView
from ml_assets.features.made_of import made_of

Private = Callable[[str], frozenset[str]]
"""Returns the columns of a table that are shown to nobody."""

Lineage = Callable[[str], Mapping[str, Sequence[tuple[str, str]]]]
"""Asset key of a table -> column -> asset keys and columns that it is made of; empty for a table of which that is not
recorded."""


def no_lineage(table: str) -> Mapping[str, Sequence[tuple[str, str]]]:  # noqa: ARG001 - a Lineage
    """Return nothing: what tables are made of is not known."""
    return {}


class PrivateColumns:
    """Says which columns of a table are private.

    Args:
        contracts: table -> contract, `package.module:Class`, of the tables that have one.
        lineage: of which columns a table's columns were made when it was built last.
    """

    def __init__(self, contracts: Mapping[str, str], lineage: Lineage = no_lineage) -> None:
        self._contracts, self._lineage = contracts, lineage
        self._known: dict[str, frozenset[str]] = {}

    def __call__(self, table: str) -> frozenset[str]:
        if table not in self._known:
            self._known[table] = frozenset()  # a table that is made of itself adds nothing
            self._known[table] = self._declared(table) | self._made(table)
        return self._known[table]

    def _declared(self, table: str) -> frozenset[str]:
        from ml_assets.quality.contracts import load_contract, private_columns

        contract = self._contracts.get(table)
        return private_columns(load_contract(contract)) if contract else frozenset()

    def _made(self, table: str) -> frozenset[str]:
        made = self._lineage(table) if table else {}
        return frozenset(column for column, made_of in made.items() if any(name in self(of) for of, name in made_of))


def is_private(view: DeclaredView, feature: str, spine_table: str, private: Private) -> bool:
    """Return whether a feature shows values of a private column; counting rows shows none."""
    made = made_of(view, feature)
    if made.field == "derived":
        return any(is_private(view, name, spine_table, private) for name in made.columns)
    table = (view.table or "") if made.of_table else spine_table
    return made.function != "count" and bool({*made.columns} & private(table))
