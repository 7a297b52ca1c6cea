"""The rules of a contract, each evaluated on every row.

Pandera states the rules and evaluates them; which rows broke them is read from each rule's own output.
`SchemaErrors.failure_cases` is not used: it renders every failing row as text, and of several `unique`
declarations it reports only the first that fails.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.quality.errors import ContractError
from ml_assets.quality.keys import conflicting, repeated
from ml_assets.quality.missing import is_missing

if TYPE_CHECKING:
    from ml_assets.quality.contracts import Contract


@dataclass(frozen=True)
class Rule:
    """What a row must satisfy.

    Attributes:
        name: how the rule is named in quarantine, such as "amount: in_range(0, 10)".
        columns: the columns it looks at; empty for a bare `dataframe_check`, which does not tell.
        description: the rule in words, where the contract gives them.
        sets_aside: whether the source declares what becomes of a row that breaks this rule alone: it goes to
            quarantine and counts against no limit.
    """

    name: str
    columns: tuple[str, ...]
    description: str
    sets_aside: bool = False


def row_rule(method: Callable[[Any], pl.Expr]) -> Any:
    """Declare a rule across columns: a method of a Pandera model that returns one Boolean expression per row.

    The method's name names the rule, its docstring describes it, the expression tells its columns. A row for
    which it is null passes: the rule says nothing about it.
    """
    import pandera.polars as pa

    def evaluate(cls: type, data: Any) -> pl.LazyFrame:
        return data.lazyframe.select(method(cls))

    # Pandera takes a rule's name from the function; its `name` argument is lost in subclasses of the model.
    evaluate.__name__ = method.__name__
    return pa.dataframe_check(
        evaluate, description=" ".join((method.__doc__ or "").split()), statistics={"expression": method}
    )


def describe_rules(contract: "Contract", key_columns: list[str]) -> list[Rule]:
    """Return all rules of the contract and its key, in the order in which they are evaluated."""
    return [rule for rule, _ in _stated(contract, key_columns)]


def evaluate_rules(
    frame: pl.DataFrame, contract: "Contract", key_columns: list[str], may_be_null: Collection[str] = ()
) -> list[tuple[Rule, pl.Series]]:
    """Return every rule with a Boolean per row of the frame: True where the row breaks it.

    Args:
        frame: the contract's columns, collected (Pandera looks at no value of a lazy frame).
        key_columns: columns that identify a row; none of them may be null.
        may_be_null: columns that are not required to have a value, whatever the contract says.

    Raises:
        ContractError: a rule cannot be evaluated, or gives no verdict per row.
    """
    return [(rule, breaches(frame)) for rule, breaches in _stated(contract, key_columns, may_be_null)]


_Breaches = Callable[[pl.DataFrame], pl.Series]


def _stated(
    contract: "Contract", key_columns: list[str], may_be_null: Collection[str] = ()
) -> Iterator[tuple[Rule, _Breaches]]:
    schema = contract.to_schema()
    for name, column in schema.columns.items():
        if name in key_columns or not (column.nullable or name in may_be_null):
            yield (
                Rule(f"{name}: not_nullable", (name,), "a value is required"),
                partial(_missing, name),
            )
        for check in column.checks:
            rule = Rule(f"{name}: {check.error or check.name}", (name,), check.description or "")
            yield rule, partial(_breaches, check, name)
    for check in schema.checks or []:
        expression = (check.statistics or {}).get("expression")
        columns = tuple(dict.fromkeys(expression(contract).meta.root_names())) if expression else ()
        yield Rule(check.name, columns, check.description or ""), partial(_breaches, check, None)
    for columns in unique_sets(schema, key_columns):
        label = f"unique({', '.join(columns)})"
        yield Rule(f"{label}: repeated row", columns, "a row is delivered once"), partial(repeated, columns)
        yield (
            Rule(f"{label}: conflicting rows", columns, "rows with the same key say the same"),
            partial(conflicting, columns),
        )


def unique_sets(schema: Any, key_columns: list[str]) -> list[tuple[str, ...]]:
    """Return the declared key, and the sets of columns that the contract declares unique, each once."""
    declared = schema.unique or []
    sets = [declared] if declared and isinstance(declared[0], str) else declared
    single = [[name] for name, column in schema.columns.items() if column.unique]
    distinct: dict[frozenset[str], tuple[str, ...]] = {}
    for names in [*single, *sets, *([key_columns] if key_columns else [])]:
        distinct.setdefault(frozenset(names), tuple(names))
    return list(distinct.values())


def _missing(name: str, frame: pl.DataFrame) -> pl.Series:
    if not frame.schema[name].is_float():
        # Of the whole frame in one look, as a pushed row has nothing else to wait for.
        column = frame[name]
        return column.is_null() if column.null_count() else pl.Series(name, [False]).new_from_index(0, len(column))
    return frame.select(is_missing(name, frame.schema[name])).to_series()


def _breaches(check: Any, column: str | None, frame: pl.DataFrame) -> pl.Series:
    place = f"rule {check.name!r}" + (f" of column {column!r}" if column else "")
    try:
        verdicts = check(frame.lazy(), column).check_output.collect().to_series()
    except Exception as error:  # whatever the rule's own code raises; without its name nobody would find it
        raise ContractError(f"{place} cannot be evaluated ({type(error).__name__}: {error})") from error
    if len(verdicts) != frame.height:
        raise ContractError(
            f"{place} gives {len(verdicts)} verdicts for {frame.height} rows; quarantine needs one per row"
        )
    return ~verdicts
