"""What a team declares about facts that are known before they hold: promotions, prices, opening hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.durations import check_duration, parse_duration
from ml_assets.features.aggregates import ALL_ROWS, AggregateFunction


class PlannedAggregateSpec(BaseModel):
    """One value of the planned facts, summarised over those that hold in a window ahead."""

    model_config = ConfigDict(extra="forbid")

    of: str = Field(
        default=ALL_ROWS,
        description="What is summarised: a Polars SQL expression over the columns of one table row. Rows where it is "
        "null or NaN are ignored. The default `*` means the facts themselves and goes with `count` only.",
    )
    functions: list[AggregateFunction] = Field(
        description="Which summaries, each one feature per window, as those of `aggregates`."
    )
    ahead: list[str] | None = Field(
        default=None, description="Windows of this aggregate, such as ['7d']; those of the plan when absent."
    )
    at: str | None = Field(
        default=None,
        description="Column of the spine with the moment at which the windows end, such as `target_at`: they are "
        "(at - ahead, at]. Absent: they begin at the prediction time, (t, t + ahead].",
    )

    @field_validator("functions", "ahead")
    @classmethod
    def _not_empty(cls, value: list | None) -> list | None:
        if value == []:
            raise ValueError("name at least one")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for length in self.ahead or []:
            check_duration("ahead", length)
        if self.of == ALL_ROWS and set(self.functions) != {"count"}:
            raise ValueError(
                f"`of: '*'` stands for facts, which can only be counted, not {self.functions}: "
                "give `of` a column or an expression"
            )
        return self


class HoldingSpec(BaseModel):
    """The value of the planned fact that holds at a moment."""

    model_config = ConfigDict(extra="forbid")

    of: str = Field(description="A Polars SQL expression over the columns of one table row.")
    after: str | None = Field(
        default=None, description="The moment lies so long after the prediction time, a duration such as 7d."
    )
    at: str | None = Field(
        default=None,
        description="Column of the spine with the moment, such as `target_at`. Without `after` and `at` it is the "
        "prediction time itself.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_duration("after", self.after)
        if self.after and self.at:
            raise ValueError("after: the moment is declared by `at` already: leave one of them out")
        return self


@dataclass(frozen=True)
class PlannedFeature:
    """One feature of planned facts.

    Attributes:
        base: its name among the aggregates or the holding values.
        function: of an aggregate; None for a value that holds at a moment.
        length: of an aggregate's window; zero for a moment.
        at: column of the spine with the end of the window, or the moment; None where `lead` tells.
        lead: how long after the prediction time the window ends, or the moment lies.
    """

    base: str
    function: AggregateFunction | None
    length: timedelta
    at: str | None
    lead: timedelta


class PlanSpec(BaseModel):
    """Facts that are known before they hold, and what is seen of those to come.

    At prediction time t only announcements with `known_at <= t` count, and of those about the same thing the last.
    """

    model_config = ConfigDict(extra="forbid")

    valid_at: str = Field(
        description="Column with the moment from which a fact holds, Datetime('us', 'UTC'). An announcement where it "
        "is null never holds: it takes back what was announced before."
    )
    valid_until: str | None = Field(
        default=None,
        description="Column with the moment at which it holds no more: it holds over [valid_at, valid_until), for "
        "ever where that is null, never where it is not after valid_at. Absent: what `aggregates` see happens at "
        "valid_at, and a value of `holding` holds until the next one's valid_at.",
    )
    of_one: list[str] = Field(
        default_factory=list,
        description="Columns that name, with the entity, the thing that is announced, such as a promotion's number: "
        "the last announcement known by t holds, earlier ones no more. Rows where one is null are left out. Absent: "
        "every row is a thing of its own.",
    )
    withdrawn: str | None = Field(
        default=None,
        description="Polars SQL condition of an announcement that takes the thing back, such as "
        "`status = 'cancelled'`: it never holds.",
    )
    ahead: list[str] = Field(
        default_factory=list,
        description="Windows ahead of the aggregates, such as ['7d']: facts that hold at some time in (t, t + ahead].",
    )
    aggregates: dict[str, PlannedAggregateSpec] = Field(
        default_factory=dict,
        description="Base name -> aggregate. Each gives features named `<base>_<function>_next_<ahead>`.",
    )
    holding: dict[str, HoldingSpec] = Field(
        default_factory=dict,
        description="Feature -> the value that holds at a moment, such as the price then. Of several facts that hold "
        "the one counts that began last, then the one announced last.",
    )

    @property
    def columns(self) -> list[str]:
        """Columns of the table that say what an announcement is about and when it holds."""
        return [self.valid_at, *([self.valid_until] if self.valid_until else []), *self.of_one]

    @property
    def values(self) -> dict[str, str]:
        """Base name -> expression, of aggregates and holding values."""
        summarised = {base: "TRUE" if spec.of == ALL_ROWS else spec.of for base, spec in self.aggregates.items()}
        return summarised | {name: spec.of for name, spec in self.holding.items()}

    @property
    def expressions(self) -> list[str]:
        """Every SQL expression that is evaluated on table rows."""
        summarised = [spec.of for spec in self.aggregates.values() if spec.of != ALL_ROWS]
        held = [spec.of for spec in self.holding.values()]
        return [*summarised, *held, *([self.withdrawn] if self.withdrawn else [])]

    @property
    def features(self) -> dict[str, PlannedFeature]:
        """Feature -> what it is, in declared order."""
        found = {
            name: PlannedFeature(base, function, parse_duration(length), spec.at, parse_duration(length))
            for base, spec in self.aggregates.items()
            for name, function, length in self._aggregate_names(base)
        }
        for name, spec in self.holding.items():
            lead = parse_duration(spec.after) if spec.after else timedelta(0)
            found[name] = PlannedFeature(name, None, timedelta(0), spec.at, lead)
        return found

    @property
    def names(self) -> list[str]:
        """The names of the features, repeated where they are declared twice."""
        return [*(name for base in self.aggregates for name, _, _ in self._aggregate_names(base)), *self.holding]

    @property
    def moments(self) -> list[str]:
        """Columns of the spine that features are about."""
        return list(dict.fromkeys(spec.at for spec in (*self.aggregates.values(), *self.holding.values()) if spec.at))

    def _aggregate_names(self, base: str) -> Sequence[tuple[str, AggregateFunction, str]]:
        spec = self.aggregates[base]
        return [
            (f"{base}_{function}_next_{length}", function, length)
            for function in spec.functions
            for length in spec.ahead or self.ahead
        ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for length in self.ahead:
            check_duration("ahead", length)
        without = [base for base, spec in self.aggregates.items() if not (spec.ahead or self.ahead)]
        rules = {
            "aggregates: give aggregates or holding": not (self.aggregates or self.holding),
            f"ahead: is missing, and aggregates {without} have none of their own": bool(without),
            "ahead: is given but no aggregate uses it": bool(self.ahead)
            and all(spec.ahead for spec in self.aggregates.values()),
            "holding: bears a name of aggregates": bool({*self.aggregates} & {*self.holding}),
        }
        if problems := [problem for problem, broken in rules.items() if broken]:
            raise ValueError("; ".join(problems))
        return self
