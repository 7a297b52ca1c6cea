"""What the contract of a source says of rows."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.declarations.specs import DeclaredSource
from ml_assets.quality.errors import ContractError
from ml_assets.quality.gate import ROW, RULES, SEPARATOR
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.testing.typed import typed


@dataclass(frozen=True, repr=False)
class ContractVerdict:
    """The gate's verdict on some rows.

    Attributes:
        validated: the rows that go on.
        quarantine: the others, with their position from 1 in ``_row`` and the rules that each broke in ``_rules``.
        rules: for each row, in order, the rules that it broke; empty for one that goes on.
        withheld: whether a drop of these rows would be held back: too many of them are bad.
    """

    validated: pl.DataFrame
    quarantine: pl.DataFrame
    rules: list[list[str]]
    withheld: bool

    @property
    def passes(self) -> bool:
        """Whether every row goes on."""
        return self.quarantine.is_empty()

    @property
    def broken(self) -> list[str]:
        """Every rule that a row broke, each once."""
        return list(dict.fromkeys(rule for of_row in self.rules for rule in of_row))

    def __repr__(self) -> str:
        if self.passes:
            return f"all {len(self.rules)} rows pass"
        lines = [f"  row {row}: {'; '.join(rules)}" for row, rules in enumerate(self.rules, 1) if rules]
        return "\n".join([f"{self.quarantine.height} of {len(self.rules)} rows go to quarantine", *lines])


def judge(source: DeclaredSource, rows: Any, drop: str | None, validated: pl.DataFrame | None) -> ContractVerdict:
    """Apply the gate of a source to rows of one drop, as they lie in its raw table.

    Args:
        drop: name of the drop; by default the one that the first row lies in.
        validated: good rows of other drops, with ``_drop``, whose keys must not come again.
    """
    from ml_assets.quality.contracts import contract_schema, load_contract
    from ml_assets.quality.drop_gate import gate_drop
    from ml_assets.sources.spec import DROP

    contract = load_contract(source.contract)
    schema = contract_schema(contract)
    frame = typed(rows, schema, what=f"rows of {source.name}", fill=False)
    optional = [pl.lit(None, schema[name]).alias(name) for name in schema.begins if name not in frame.columns]
    frame = frame.with_columns(optional)
    if missing := [column for column in schema if column not in frame.columns]:
        raise ContractError(f"rows of {source.name} lack {', '.join(missing)}: give what {source.contract} declares")
    name = drop or drops_of(source, frame.head(1))[0]
    others = [] if validated is None else [validated.filter(pl.col(DROP) != name).lazy()]
    gated = gate_drop(source, contract, name, frame, others).result
    broken = {row - 1: rules.split(SEPARATOR) for row, rules in gated.quarantine.select(ROW, RULES).iter_rows()}
    rules = [broken.get(row, []) for row in range(frame.height)]
    return ContractVerdict(gated.validated, gated.quarantine, rules, gated.bad_share > source.max_bad_share)


def drops_of(source: DeclaredSource, frame: pl.DataFrame) -> list[str]:
    """Return the drop of each row of a source; of a row that tells none the first that is declared."""
    from ml_assets.sources.drops.cut import period_starts
    from ml_assets.sources.drops.grains import name_at

    drops = source.drops
    if drops.grain == WHOLE:
        return [WHOLE] * frame.height
    if drops.column is None or drops.column not in frame.columns:
        return [drops.first] * frame.height
    starts = period_starts(frame[drops.column], drops)
    return [drops.first if start is None else name_at(drops.grain, start) for start in starts]
