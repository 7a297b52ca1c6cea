"""The contract gate: good rows go on, bad rows go to quarantine with every rule they broke."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.quality.contracts import as_declared, as_kept, contract_schema
from ml_assets.quality.errors import ContractError
from ml_assets.quality.rules import Rule, evaluate_rules
from ml_assets.sources.delivery.declared import UNREAD

if TYPE_CHECKING:
    from ml_assets.quality.contracts import Contract

ROW = "_row"
RULES = "_rules"
COLUMNS = "_columns"
SEPARATOR = "; "
_EXAMPLES = 3

_NO_NOTES = pl.DataFrame(schema={ROW: pl.Int64, RULES: pl.String, COLUMNS: pl.String})

Verdict = tuple[Rule, pl.Series]
"""A rule with a Boolean per row: True where the row breaks it."""

QUARANTINE_COLUMNS = {
    UNREAD: "Why a value of the row could not be read, with its text, where the source declares such.",
    ROW: "Position of the row in its drop, from 1.",
    RULES: f"Every rule that the row broke, joined with {SEPARATOR!r}.",
    COLUMNS: f"The columns that those rules look at, joined with {SEPARATOR!r}.",
}


@dataclass(frozen=True)
class BrokenRule:
    """A rule that some rows broke.

    Attributes:
        rule: the rule.
        rows: how many rows broke it, at least 1.
        first_row: position of the first of them, from 1.
        example: the values of that row in the rule's columns, as text.
        examples: the first rows that broke it, each with its position, key and values, as text.
    """

    rule: Rule
    rows: int
    first_row: int
    example: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class GateResult:
    """Each row of a frame in exactly one of two frames, in the order of delivery.

    Attributes:
        validated: the rows that satisfy every rule, with the columns of the input, but no `_unread`.
        quarantine: all others, with the columns of the input and `_row` (Int64), `_rules` and `_columns`
            (both String).
        broken: the broken rules, most rows first.
        set_aside: rows in quarantine that break no rule but those of which the source declares what becomes of them.
    """

    validated: pl.DataFrame
    quarantine: pl.DataFrame
    broken: tuple[BrokenRule, ...]
    set_aside: int = 0

    @property
    def bad_rows(self) -> int:
        """Rows in quarantine that are not set aside."""
        return self.quarantine.height - self.set_aside

    @property
    def bad_share(self) -> float:
        """Share of bad rows, 0 for an empty frame."""
        rows = self.validated.height + self.quarantine.height
        return self.bad_rows / rows if rows else 0.0


def apply_contract(
    frame: pl.DataFrame,
    contract: "Contract",
    key_columns: list[str],
    verdicts: Sequence[Verdict] = (),
    may_be_null: Collection[str] = (),
) -> GateResult:
    """Divide the rows of one drop by its contract and key.

    Columns beyond the contract travel along unjudged. A Duration leaves as whole microseconds, as tables keep it. Of
    rows that are the same in every column of the contract the first is good and the others are quarantined; rows with
    the same key that differ are all quarantined. So are rows of which `_unread` says why a value could not be read.

    Args:
        verdicts: rules that were evaluated elsewhere, each with a Boolean per row: True where the row breaks it.
        may_be_null: columns that need no value in this drop, whatever the contract says.

    Raises:
        ContractError: the frame lacks a column or has another type than the contract, `key_columns` are not
            in the contract, or a rule cannot be evaluated.
    """
    schema = contract_schema(contract)
    declared = as_declared(frame, schema)
    _check_columns(declared, schema, key_columns, contract.__name__)
    frame = as_kept(declared)
    judged = [*_unread(frame), *evaluate_rules(declared.select(*schema), contract, key_columns, may_be_null), *verdicts]
    breached = [(rule, breaches) for rule, breaches in judged if breaches.any()]
    if not breached:
        return GateResult(frame.drop(UNREAD, strict=False), frame.clear().hstack(_NO_NOTES), ())
    nothing = pl.repeat(False, frame.height, eager=True)
    bad = reduce(or_, (breaches for _, breaches in breached), nothing)
    counted = reduce(or_, (breaches for rule, breaches in breached if not rule.sets_aside), nothing)
    if UNREAD in frame.schema:  # a value that could not be read is null, and breaks other rules for that
        counted &= frame[UNREAD].is_null()
    broken = [_summary(rule, breaches, frame, key_columns) for rule, breaches in breached]
    return GateResult(
        validated=frame.filter(~bad).drop(UNREAD, strict=False),
        quarantine=_quarantine(frame, bad, breached),
        broken=tuple(sorted(broken, key=lambda rule: -rule.rows)),
        set_aside=int((bad & ~counted).sum()),
    )


def _unread(frame: pl.DataFrame) -> list[tuple[Rule, pl.Series]]:
    if UNREAD not in frame.schema:
        return []
    readable = Rule("every value can be read", (UNREAD,), "a value was delivered", sets_aside=True)
    return [(readable, frame[UNREAD].is_not_null())]


def _quarantine(frame: pl.DataFrame, bad: pl.Series, breached: list[tuple[Rule, pl.Series]]) -> pl.DataFrame:
    rows = bad.arg_true()
    flags = pl.DataFrame([breaches.gather(rows).alias(str(i)) for i, (_, breaches) in enumerate(breached)])
    touched = {
        column: pl.any_horizontal(str(i) for i, (rule, _) in enumerate(breached) if column in rule.columns)
        for column in frame.columns
        if any(column in rule.columns for rule, _ in breached)
    }
    broken = {rule.name: pl.col(str(i)) for i, (rule, _) in enumerate(breached)}
    notes = flags.select(_joined(broken).alias(RULES), _joined(touched).alias(COLUMNS))
    return frame[rows].with_columns((rows.cast(pl.Int64) + 1).alias(ROW), *notes)


def _joined(names: dict[str, pl.Expr]) -> pl.Expr:
    """Return the names whose expression is true, joined in their order."""
    if not names:
        return pl.lit("")
    texts = [pl.when(flag).then(pl.lit(name)) for name, flag in names.items()]
    return pl.concat_str(texts, separator=SEPARATOR, ignore_nulls=True)


def _summary(rule: Rule, breaches: pl.Series, frame: pl.DataFrame, key_columns: list[str]) -> BrokenRule:
    rows = breaches.arg_true().head(_EXAMPLES)
    values = [_values(frame, row, rule.columns) for row in rows]
    keys = [_values(frame, row, key_columns) for row in rows]
    examples = tuple(
        f"row {row + 1} ({key})" if key == value else f"row {row + 1} ({key}) has {value or 'broken it'}"
        for row, key, value in zip(rows, keys, values, strict=True)
    )
    return BrokenRule(rule, int(breaches.sum()), rows[0] + 1, values[0], examples)


def _values(frame: pl.DataFrame, row: int, columns: Sequence[str]) -> str:
    return ", ".join(f"{name}={frame[name][row]}" for name in columns)


def _check_columns(frame: pl.DataFrame, schema: dict[str, pl.DataType], key_columns: list[str], name: str) -> None:
    for column, dtype in schema.items():
        if column not in frame.schema:
            raise ContractError(f"contract {name}: the frame has no column {column!r}, only {frame.columns}")
        if frame.schema[column] != dtype:
            raise ContractError(
                f"contract {name}: column {column!r} is {frame.schema[column]}, not {dtype}; "
                "read it with the contract's schema"
            )
    unknown = [column for column in key_columns if column not in schema]
    if unknown:
        raise ContractError(f"contract {name}: key columns {unknown} are not in it; it has {list(schema)}")
    added = [column for column in (ROW, RULES, COLUMNS) if column in frame.schema]
    if added:
        raise ContractError(f"contract {name}: the frame already has columns {added}, which the gate adds")
