"""What a team declares about an outcome."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.durations import Duration, parse_duration
from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.outcomes.early import Settled, settled_early

OutcomeFunction = Literal["count", "sum", "mean", "min", "max", "first", "last", "time_to_first"]

CENSORED = "_censored"
"""Ending of the column that says whether a time to the first fact was cut off by the end of the window."""

_OF_ROWS = {"count", "time_to_first"}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class OutcomeAggregate(BaseModel):
    """One value of the facts, summarised over a window after the row."""

    model_config = ConfigDict(extra="forbid")

    of: str = Field(
        default=ALL_ROWS,
        description="What is summarised: a Polars SQL expression over the columns of one fact, such as `amount`. Facts "
        "where it is null or NaN are ignored. The default `*` means the facts themselves and goes with `count` and "
        "`time_to_first` only.",
    )
    functions: list[OutcomeFunction] = Field(
        description="Which summaries. `first` and `last` are the values at the earliest and the latest moment (of "
        "several facts of one moment the smallest and the largest value); `time_to_first` is the seconds from the "
        "row's time to the first fact, null where there is none in the window, which the Boolean "
        "`time_to_first_censored` beside it says. The count of nothing is 0, all else of nothing is null."
    )

    # Dagster resolves a nested model from YAML only if its annotations are plain: limits are validators.
    @field_validator("functions")
    @classmethod
    def _named_once(cls, functions: list[OutcomeFunction]) -> list[OutcomeFunction]:
        if not functions or len(set(functions)) < len(functions):
            raise ValueError("name at least one, each once")
        return functions

    @model_validator(mode="after")
    def _facts_have_no_value(self) -> Self:
        if self.of == ALL_ROWS and (wrong := [name for name in self.functions if name not in _OF_ROWS]):
            raise ValueError(
                f"`of: '*'` stands for the facts themselves, of which there is no {', '.join(wrong)}: give `of` a "
                "column or an expression"
            )
        return self


class OutcomeSpec(BaseModel):
    """What comes of a row within a window after it, from facts that each happened at a moment.

    Of a row at time t the window is the half-open (t, t + window].
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Name of the outcome, in snake_case, and of the column that holds it.")
    description: str = Field(description="What the outcome says about the row, for the catalogue.")
    owners: list[str] = Field(
        default_factory=list, description="Who answers for the outcome: e-mail addresses or `team:name`."
    )
    table: str = Field(description="Asset key of the table of facts in the lake, such as `orders/validated`.")
    entity: list[str] = Field(
        default_factory=list,
        description="Key columns of the entity, as the table names them. Empty: every fact is about every row.",
    )
    spine_keys: dict[str, str] = Field(
        default_factory=dict,
        description="Table key column -> spine column, for the keys that the spine names differently.",
    )
    happened_at: str = Field(
        description="Column with the moment a fact happened, Datetime('us', 'UTC'), by which it lies in a window. "
        "Facts where it is null are left out."
    )
    known_at: str | None = Field(
        default=None,
        description="Column with the moment a fact could first be known, Datetime('us', 'UTC'); null: never. Absent: "
        "when it happened.",
    )
    window: Duration = Field(
        description="Length of the window after the row's time t, such as 30d: facts with "
        "t < happened_at <= t + window. Of a spine with horizons it is the last before `target_at`, whole "
        "days counted on the clock of the spine's zone, and no longer than the shortest horizon."
    )
    where: str | None = Field(
        default=None,
        description="Polars SQL condition over the columns of one fact, such as `status = 'paid'`: others are ignored.",
    )
    aggregate: OutcomeAggregate | None = Field(
        default=None, description="What is summarised, under the functions' names: `count`, `sum`, `time_to_first`."
    )
    aggregates: dict[str, OutcomeAggregate] = Field(
        default_factory=dict,
        description="Base name -> what is summarised, under the names `<base>_<function>`; instead of `aggregate`.",
    )
    label: str = Field(
        description="The outcome: a Polars SQL expression over the aggregates' names, such as `count == 0`, `sum` or "
        "`CASE WHEN sum > 100 THEN 'high' ELSE 'low' END`. It is undefined, so null, where it divides by zero or is no "
        "finite number."
    )
    settles: Duration | None = Field(
        default=None,
        description="How long after the window facts may still become known, such as 2d: the outcome is known at "
        "t + window + settles, and what becomes known later is not used. Absent: they come at once.",
    )
    early: bool = Field(
        default=False,
        description="Let an outcome be known as soon as a fact makes it certain, instead of at t + window + settles. "
        "What is known early is then no fair sample of all: early and late outcomes differ. For labels that one fact "
        "can settle for good: `count` compared so that the first fact decides (`count == 0`, `count >= 1`), `min` or "
        "`max` compared with a number, and, where facts are known at once, anything of `first` and `time_to_first`.",
    )

    @property
    def summaries(self) -> Mapping[str, OutcomeAggregate]:
        """Base name -> aggregate; the base of a single aggregate is empty."""
        return self.aggregates if self.aggregate is None else {"": self.aggregate}

    @property
    def aggregate_columns(self) -> dict[str, tuple[str, OutcomeFunction]]:
        """Column -> (base name, function), in declared order; without those that say what is censored."""
        return {
            f"{base}_{function}" if base else function: (base, function)
            for base, declared in self.summaries.items()
            for function in declared.functions
        }

    @property
    def columns(self) -> list[str]:
        """Every column that is computed beside the label: the aggregates in declared order."""
        return [column for name, (_, function) in self.aggregate_columns.items() for column in _columns(name, function)]

    @property
    def known_at_column(self) -> str:
        """Column with the moment at which the label is known."""
        return known_at_of(self.name)

    @property
    def spine_entity(self) -> list[str]:
        """The key columns as the spine names them, in the order of `entity`."""
        return [self.spine_keys.get(key, key) for key in self.entity]

    @property
    def expressions(self) -> dict[str, str]:
        """Field -> SQL expression over the columns of one fact."""
        texts = {
            "aggregate.of" if not base else f"aggregates.{base}.of": declared.of
            for base, declared in self.summaries.items()
            if declared.of != ALL_ROWS
        }
        return texts | ({"where": self.where} if self.where else {})

    @property
    def table_columns(self) -> list[str]:
        """Columns read from the table: the keys, the moments, then what the expressions read."""
        from ml_assets.features.expressions import columns_read

        moments = [self.happened_at, *([self.known_at] if self.known_at else [])]
        return list(dict.fromkeys([*self.entity, *moments, *columns_read(self.name, self.expressions.values())]))

    @property
    def length(self) -> timedelta:
        """Length of the window."""
        return parse_duration(self.window)

    @property
    def delay(self) -> timedelta:
        """How long after the window the outcome is known: `settles`."""
        return parse_duration(self.settles) if self.settles else timedelta(0)

    @property
    def settled_by(self) -> Settled | None:
        """Which facts settle the label early; None where it is not to be known early."""
        return settled_early(self.label, self.aggregate_columns) if self.early else None

    @property
    def meaning(self) -> str:
        """A text that is the same exactly if two outcomes mean the same."""
        declared = self.model_dump(exclude={"name", "description", "owners"})
        own = {name: declared[name] for name in OutcomeSpec.model_fields if name in declared}
        return ", ".join(f"{name}: {value}" for name, value in own.items() if value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := next(self._problems(), None):
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        if not _NAME.fullmatch(self.name):
            yield f"name: {self.name!r} must be lower case letters, digits and _, and begin with a letter"
        if (self.aggregate is None) == (not self.aggregates):
            yield "aggregate: declare what is summarised, by either `aggregate` or `aggregates`"
        if strange := [base for base in self.aggregates if not _NAME.fullmatch(base)]:
            yield f"aggregates.{strange[0]}: must be lower case letters, digits and _, and begin with a letter"
        if unmapped := sorted(set(self.spine_keys) - set(self.entity)):
            yield f"spine_keys: {unmapped} are no entity columns"
        for field, names in (("entity", self.entity), ("spine_keys", self.spine_entity), ("aggregates", self.columns)):
            if len(set(names)) < len(names):
                yield f"{field}: names something twice: {', '.join(names)}"
        taken = sorted({self.name, self.known_at_column} & {*self.columns, *self.spine_entity})
        if taken:
            yield f"name: {taken[0]!r} is also an aggregate or a key: rename the outcome"
        if shared := sorted({*self.columns} & {*self.spine_entity}):
            yield f"aggregates: {shared[0]!r} bears the name of a key: rename its base"
        yield from self._expression_problems()

    def _expression_problems(self) -> Iterator[str]:
        from ml_assets.features.expressions import columns_read

        for field, text in {**self.expressions, "label": self.label}.items():
            try:
                read = columns_read(self.name, [text])
            except ValueError as error:
                yield f"{field}: {str(error).partition(': ')[2]}"
                continue
            if field == "label" and (strange := [name for name in read if name not in self.columns]):
                yield f"label: there is no aggregate {', '.join(strange)}; there are {', '.join(self.columns)}"
            if field == "label" and not read:
                yield f"label: reads no aggregate; there are {', '.join(self.columns)}"
        yield from self._early_problems()

    def _early_problems(self) -> Iterator[str]:
        if not self.early:
            return
        settled = self.settled_by
        if settled is None:
            yield (
                f"early: no fact settles `{self.label}` for good: compare `count` so that the first fact decides "
                "(`count == 0`, `count >= 1`), `min` or `max` with a number, or read `first` or `time_to_first` alone"
            )
        elif settled.in_order and (self.known_at or self.settles):
            yield (
                f"early: `{self.label}` reads the first fact, and with {'known_at' if self.known_at else 'settles'} an "
                "earlier one may still become known: leave early out"
            )


def known_at_of(outcome: str) -> str:
    """Return the column with the moment at which an outcome's label is known."""
    return f"{outcome}_known_at"


def _columns(name: str, function: OutcomeFunction) -> list[str]:
    return [name, f"{name}{CENSORED}"] if function == "time_to_first" else [name]
