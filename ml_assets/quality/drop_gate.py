"""The gate of one drop: its contract, and what only the other drops and the drop's own name can tell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.quality.contracts import contract_schema
from ml_assets.quality.gate import ROW, GateResult, Verdict, apply_contract
from ml_assets.quality.rules import Rule
from ml_assets.sources.drops.cut import lies_outside
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.schema import DropSchema, is_before
from ml_assets.sources.spec import DROP, SourceSpec

if TYPE_CHECKING:
    from ml_assets.quality.contracts import Contract

IN_PERIOD = "in_period"
UNIQUE_ACROSS_DROPS = "unique_across_drops"

_NAMED_DROPS = 3


@dataclass(frozen=True)
class DropGate:
    """A drop's rows, divided.

    Attributes:
        result: the good rows and the others.
        outside: rows that lie in another drop's period.
        repeated: rows whose key another drop holds.
        held_by: those other drops, in order.
        made_null: values by column, in all rows, that were NaN, or infinite where these become null.
        absent: columns that this drop need not have.
    """

    result: GateResult
    outside: int
    repeated: int
    held_by: tuple[str, ...]
    made_null: dict[str, int]
    absent: tuple[str, ...] = ()


def is_placed_by_file(source: SourceSpec) -> bool:
    """Return whether a file's name decides which drop its rows belong to, and a column can confirm it."""
    return source.drops.grain != WHOLE and source.cut_by is None and source.drops.column is not None


def has_keys_across_drops(source: SourceSpec) -> bool:
    """Return whether a key may occur in one drop only."""
    return source.drops.grain != WHOLE and source.key_scope == "source"


def gate_drop(
    source: SourceSpec, contract: "Contract", drop: str, frame: pl.DataFrame, validated: Sequence[pl.LazyFrame] = ()
) -> DropGate:
    """Divide the rows of one drop; quarantine holds them as delivered.

    Args:
        frame: the drop's raw rows.
        validated: good rows of the other drops, with key columns and `_drop`. Only those columns are read, batch by
            batch, and only keys that the drop has are kept.

    Raises:
        ContractError: the frame does not fit the contract, or a rule cannot be evaluated.
        DeliveryFault: the column that tells the period cannot.
    """
    verdicts: list[Verdict] = []
    outside, repeated, held_by = _nowhere(frame), _nowhere(frame), ()
    if is_placed_by_file(source):
        outside = lies_outside(frame[source.drops.cut_column], drop, source.drops)
        verdicts.append((_in_period(source.drops.cut_column, drop), outside))
    if has_keys_across_drops(source) and validated:
        held = _keys_elsewhere(frame, source.key_columns, validated)
        repeated, held_by = _has_key(frame, held, source.key_columns), tuple(held[DROP].unique().sort())
        verdicts.append((_unique_across(source.key_columns, held_by), repeated))
    numbers = [name for name, dtype in contract_schema(contract).items() if dtype.is_float()]
    if source.infinite == "quarantine":
        verdicts += [(_finite(name), frame.select(_is_infinite(name)).to_series()) for name in numbers]
    nulls = {name: _becomes_null(name, source.infinite == "null") for name in numbers}
    known = frame.with_columns(pl.when(~null).then(pl.col(name)).alias(name) for name, null in nulls.items())
    absent = _absent(contract_schema(contract), drop, frame)
    result = apply_contract(known, contract, source.key_columns, verdicts, absent)
    result = _as_delivered(result, frame.select(numbers))
    made_null = {name: frame.select(null.sum()).item() for name, null in nulls.items()}
    made_null = {name: count for name, count in made_null.items() if count}
    return DropGate(result, int(outside.sum()), int(repeated.sum()), held_by, made_null, absent)


def same_content(drop: str, content_hash: str, hashes: dict[str, str]) -> list[str]:
    """Return the other drops whose rows are the same as this drop's.

    Args:
        hashes: drop -> content hash of the raw rows.
    """
    return sorted(other for other, other_hash in hashes.items() if other_hash == content_hash and other != drop)


def _nowhere(frame: pl.DataFrame) -> pl.Series:
    return pl.repeat(False, frame.height, eager=True)


def _absent(schema: DropSchema, drop: str, frame: pl.DataFrame) -> tuple[str, ...]:
    """Return columns that begin with a later drop, and optional ones without any value: such were not delivered."""
    return tuple(
        name
        for name, since in schema.begins.items()
        if (frame[name].null_count() == frame.height if since is None else is_before(drop, since))
    )


def _finite(column: str) -> Rule:
    described = "no infinity, nor a number beyond what a model can hold"
    return Rule(f"{column}: finite", (column,), described, sets_aside=True)


def _is_infinite(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float32).is_infinite().fill_null(False)


def _becomes_null(column: str, infinite: bool) -> pl.Expr:
    nan = pl.col(column).is_nan().fill_null(False)
    return nan | _is_infinite(column) if infinite else nan


def _as_delivered(result: GateResult, numbers: pl.DataFrame) -> GateResult:
    if not numbers.width:
        return result
    rows = result.quarantine[ROW] - 1
    return replace(result, quarantine=result.quarantine.with_columns(numbers[rows]))


def _in_period(column: str, drop: str) -> Rule:
    return Rule(f"{column}: in {drop}", (column,), "a row lies in the period that its file is named for")


def _unique_across(key: Sequence[str], held_by: Sequence[str]) -> Rule:
    more = f" and {len(held_by) - _NAMED_DROPS} more" if len(held_by) > _NAMED_DROPS else ""
    name = f"unique({', '.join(key)}): in drop {', '.join(held_by[:_NAMED_DROPS])}{more}"
    return Rule(name, tuple(key), "a key is validated in one drop only")


def _keys_elsewhere(frame: pl.DataFrame, key: Sequence[str], validated: Sequence[pl.LazyFrame]) -> pl.DataFrame:
    """Return key and drop of each good row of another drop that has a key of this frame."""
    keys = frame.select(key).drop_nulls().unique()
    # The range lets the reader skip files: most keys grow with time.
    # A text alone would be taken for the name of a column.
    ends = {name: [pl.lit(end, keys[name].dtype) for end in (keys[name].min(), keys[name].max())] for name in key}
    inside = pl.all_horizontal(pl.col(name).is_between(ends[name][0], ends[name][1]) for name in key)
    stored = pl.concat([table.select(*key, DROP) for table in validated]).filter(inside)
    return stored.join(keys.lazy(), on=list(key), how="semi").collect(engine="streaming")


def _has_key(frame: pl.DataFrame, held: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """Return for each row of the frame, in order, whether its key is among the given keys."""
    marked = held.select(key).unique().with_columns(pl.lit(True).alias(DROP))
    joined = frame.select(key).join(marked, on=list(key), how="left", maintain_order="left")
    return joined[DROP].fill_null(False)
