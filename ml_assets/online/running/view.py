"""A view's features of one entity at any moment, from the running state of its facts: as the engine computes them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Any

import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.errors import FeatureError
from ml_assets.features.expressions import parse
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.plain import PlainFact, as_columns, is_plain
from ml_assets.online.running.history import FactHistory, Kind, LoadLeaves, Place, Total
from ml_assets.online.running.leaf import Entry
from ml_assets.online.running.plain import Plain, plain_expression
from ml_assets.online.running.scaled import rounded

_MICROSECOND = timedelta(microseconds=1)
_INT64 = 2.0**63
_DERIVED = 1024
"""Windows of an entity whose values are remembered until a fact is added."""


@dataclass(frozen=True)
class _Aggregate:
    where: str
    of: str
    functions: Sequence[str]
    windows: Sequence[tuple[int, int]]
    """Of each window the age from which on a fact is in it, and that at which it is no more, microseconds."""

    @cached_property
    def ordered(self) -> bool:
        return bool({"min", "max"} & {*self.functions})

    @cached_property
    def exact(self) -> bool:
        return bool({"sum", "mean", "std"} & {*self.functions})


@dataclass(frozen=True)
class _LastRow:
    columns: slice
    before: int
    ttl: int | None


class RunningView:
    """What a view computes of an entity's facts.

    Args:
        view: of stored features only, over a table with `known_at`, without planned facts.
        schema: of the view's table.
    """

    def __init__(self, view: FeatureViewSpec, schema: pl.Schema) -> None:
        self._view = view
        self._known_at = view.known_at_column
        self._aggregates = [
            _Aggregate(
                f"feature view {view.name!r}, aggregate {base!r}: `{spec.of}`",
                spec.of,
                spec.functions,
                [
                    (_ticks(spec.ends_before), _ticks(spec.ends_before + parse_duration(w)))
                    for w in view.windows_of(base)
                ],
            )
            for base, spec in view.aggregates.items()
        ]
        self._values = [parse(view.name, each.of) for each in self._aggregates if each.of != ALL_ROWS]
        last = [*view.order_by, *view.latest.values(), *(spec.of for spec in view.lags.values())]
        self._rows = [parse(view.name, text) for text in last]
        # What is a column as it is costs nothing to evaluate.
        evaluated = [*self._values, *self._rows]
        plain = [expression.meta.root_names() if expression.meta.is_column() else [] for expression in evaluated]
        self._sources = [column[0] if column else f"__value_{n}__" for n, column in enumerate(plain)]
        self._computed = [
            expression.alias(name)
            for expression, column, name in zip(evaluated, plain, self._sources, strict=True)
            if not column
        ]
        self._last_rows = _last_rows(view)
        self._names = [*view.latest, *view.lags]
        self._youngest = _ticks(view.youngest_age)
        self._look_back = None if view.look_back is None else _ticks(view.look_back)
        self._ages = [0, *sorted(_ticks(age) for age in view.ages)]
        self._schema = schema
        self._kinds = self._kinds_of(schema)
        self._plain = self._plain_of(schema)

    @staticmethod
    def runs(view: FeatureViewSpec) -> bool:
        """Return whether a view's features can be computed from a running state."""
        return view.known_at is not None and view.planned is None

    def history(self, header: str | bytes | None, load: LoadLeaves, *, built: bool = False) -> FactHistory:
        """Open an entity's facts as `FactHistory.encode` gave them; None for none."""
        return FactHistory(self._kinds, header, load, built=built)

    def entries(self, facts: pl.DataFrame, texts: Sequence[str]) -> list[Entry]:
        """Return facts as features see them.

        Args:
            facts: the view's `table_columns`, in the table's types.
            texts: the rows as `encode_facts_as_json` gives them.

        Raises:
            FeatureError: an expression fails, or what is summarised is infinite.
        """
        known = facts[self._known_at].cast(pl.Int64).to_list()
        values, rows = self._evaluate(facts)
        digests = map(_digest, texts)
        return list(map(Entry, known, digests, values, rows))

    def plain_entries(self, facts: Sequence[PlainFact], texts: Sequence[str]) -> list[Entry]:
        """Return facts as `entries` does; arguments and errors as there."""
        if self._plain is None:
            return self.entries(as_columns(facts, self._schema), texts)
        values, rows = self._plain
        return [
            Entry(fact[self._known_at], _digest(text), [of(fact) for of in values], [of(fact) for of in rows])
            for fact, text in zip(facts, texts, strict=True)
        ]

    def values_at(self, history: FactHistory, moment: int) -> list[Any]:
        """Compute what is stored of a moment: when the newest fact was known, microseconds, then the features in order.

        Raises:
            FeatureError: a feature is infinite, or a whole number is beyond Int64.
        """
        places: dict[int, Place] = {}

        def place(age: int) -> Place:
            if age not in places:
                places[age] = history.locate(moment - age)
            return places[age]

        newest = history.last(place(self._youngest))
        seen = newest is not None and (self._look_back is None or newest[0] > moment - self._look_back)
        features: list[Any] = [newest[0] if newest is not None and seen else None]
        for each in self._last_rows:
            last = history.last(place(each.before))
            if last is None or (each.ttl is not None and last[0] <= moment - each.before - each.ttl):
                features += [None] * (each.columns.stop - each.columns.start)
            else:
                features += last[1][each.columns]
        for number, aggregate in enumerate(self._aggregates):
            summaries = [
                self._summaries(history, number, place(leaves), place(enters)) for enters, leaves in aggregate.windows
            ]
            for function in range(len(aggregate.functions)):
                features += [of_window[function] for of_window in summaries]
        return [self._taken(place, value) if type(value) is float else value for place, value in enumerate(features)]

    def changes_after(self, history: FactHistory, moment: int) -> "Changes":
        """Return the moments after `moment` at which values may change."""
        return Changes(history, self._ages, moment)

    def _summaries(self, history: FactHistory, number: int, start: Place, end: Place) -> Sequence[Any]:
        """Compute an aggregate's functions between two places; most windows are as they were a moment ago."""
        key = number, start, end
        known = history.derived.get(key)
        if known is not None:
            return known
        aggregate, kind = self._aggregates[number], self._kinds[number]
        total = history.total(number, start, end, ordered=aggregate.ordered)
        if len(history.derived) >= _DERIVED:
            history.derived.clear()
        summaries = [_summary(aggregate.where, function, kind, total) for function in aggregate.functions]
        history.derived[key] = summaries
        return summaries

    def _evaluate(self, facts: pl.DataFrame) -> tuple[list[tuple], list[tuple]]:
        try:
            # Beside the facts, so that a constant has as many rows as they have.
            frame = facts.with_columns(self._computed) if self._computed else facts
        except pl.exceptions.PolarsError as error:
            raise FeatureError(f"feature view {self._view.name!r} cannot be evaluated: {error}") from error
        columns = [frame[name] for name in self._sources]
        summarised = iter(columns[: len(self._values)])
        values = [
            [0] * facts.height if each.of == ALL_ROWS else _observed(each, next(summarised))
            for each in self._aggregates
        ]
        rows = [_row_values(column) for column in columns[len(self._values) :]]
        by_fact = list(zip(*values, strict=True)) if values else [()] * facts.height
        return by_fact, list(zip(*rows, strict=True)) if rows else [()] * facts.height

    def _kinds_of(self, schema: pl.Schema) -> list[Kind]:
        typed = pl.DataFrame(schema=schema).select(
            expression.alias(str(n)) for n, expression in enumerate(self._values)
        )
        types = iter(typed.dtypes)
        kinds = []
        for each in self._aggregates:
            dtype = pl.Int64() if each.of == ALL_ROWS else next(types)
            floats = dtype.is_float() or dtype.is_decimal() or dtype == pl.Null
            kinds.append(Kind(floats and (each.exact or each.ordered), "std" in each.functions))
        return kinds

    def _plain_of(self, schema: pl.Schema) -> tuple[list[Plain], list[Plain]] | None:
        """Return what computes the values and the row of a fact; None where Polars has to."""
        if not all(map(is_plain, schema.values())):
            return None
        expressions = iter(self._values)
        values = [
            (lambda _: 0)
            if each.of == ALL_ROWS
            else _plainly_observed(each, plain_expression(next(expressions), schema))
            for each in self._aggregates
        ]
        rows = [plain_expression(expression, schema) for expression in self._rows]
        if None in values or None in rows:
            return None
        return [of for of in values if of is not None], [row[0] for row in rows if row is not None]

    def _taken(self, place: int, value: float) -> float:
        if math.isinf(value):
            names = [self._known_at, *self._names, *self._view.aggregate_features]
            raise FeatureError(
                f"feature view {self._view.name!r}: feature {names[place]!r} is infinite; if it divides, divide by "
                "NULLIF(..., 0), which gives null instead"
            )
        return value


class Changes:
    """The moments at which values may change, one after the other: a fact enters a window, or leaves it."""

    def __init__(self, history: FactHistory, ages: Sequence[int], moment: int) -> None:
        self._heads: list[tuple[int, int]] = []
        self._known = []
        for number, age in enumerate(ages):
            moments = history.moments_after(moment - age)
            self._known.append((age, moments))
            self._advance(number)

    def next(self) -> int | None:
        """Return the next moment; None where nothing changes any more."""
        from heapq import heappop

        if not self._heads:
            return None
        moment = self._heads[0][0]
        while self._heads and self._heads[0][0] == moment:
            _, number = heappop(self._heads)
            self._advance(number)
        return moment

    def _advance(self, number: int) -> None:
        from heapq import heappush

        age, moments = self._known[number]
        known = next(moments, None)
        if known is not None:
            heappush(self._heads, (known + age, number))


def _last_rows(view: FeatureViewSpec) -> list[_LastRow]:
    first = len(view.order_by)
    rows = []
    if view.latest:
        ttl = _ticks(parse_duration(view.ttl)) if view.ttl else None
        rows.append(_LastRow(slice(first, first + len(view.latest)), 0, ttl))
    for place, spec in enumerate(view.lags.values(), first + len(view.latest)):
        ttl = _ticks(parse_duration(spec.ttl)) if spec.ttl else None
        rows.append(_LastRow(slice(place, place + 1), _ticks(spec.ends_before), ttl))
    return rows


def _observed(aggregate: _Aggregate, column: pl.Series) -> list:
    """Return the values of an aggregate; None where they are missing, as NaN is."""
    dtype = column.dtype
    if not (aggregate.exact or aggregate.ordered):
        present = column.is_not_null() & ~column.is_nan() if dtype.is_float() else column.is_not_null()
        values = [0 if there else None for there in present]
    elif dtype.is_float() or dtype.is_decimal() or dtype == pl.Null:
        numbers = (column if dtype == pl.Float64 else column.cast(pl.Float64)).to_list()
        values = [None if value is None or value != value else value for value in numbers]
    elif dtype.is_integer():
        values = column.to_list()
    else:
        values = column.cast(pl.Int64).to_list()
    infinite = [value for value in values if isinstance(value, float) and math.isinf(value)]
    if infinite:
        raise FeatureError(
            f"{aggregate.where} is infinite in {len(infinite)} of {len(column)} known rows; if it divides, divide by "
            "NULLIF(..., 0), which gives null instead"
        )
    return values


def _plainly_observed(aggregate: _Aggregate, plain: tuple[Plain, pl.DataType] | None) -> Plain | None:
    """Return what gives of one finite value what `_observed` gives; None where Polars has to."""
    if plain is None:
        return None
    of, dtype = plain
    if not (aggregate.exact or aggregate.ordered):
        return lambda fact: None if of(fact) is None else 0
    if dtype == pl.Boolean:
        return lambda fact: None if (value := of(fact)) is None else int(value)
    return None if dtype == pl.String else of


def _row_values(column: pl.Series) -> list:
    dtype = column.dtype
    if dtype.is_decimal():
        return column.cast(pl.Float64).to_list()
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String).to_list()
    return (column.to_physical() if dtype.is_temporal() else column).to_list()


def _summary(where: str, function: str, kind: Kind, total: Total) -> Any:
    summaries: dict[str, Callable[[str, Kind, Total], Any]] = _SUMMARIES
    return summaries[function](where, kind, total)


def _count(where: str, kind: Kind, total: Total) -> int:  # noqa: ARG001
    return total.count


def _sum(where: str, kind: Kind, total: Total) -> float | int | None:
    if not total.count:
        return None
    value, exponent = rounded(total.sum, total.exponent)
    if kind.floats:
        return _power(value, exponent)
    if abs(math.ldexp(value, exponent)) >= _INT64:
        raise FeatureError(f"{where}: a sum is beyond Int64; cast it to DOUBLE")
    return total.sum


def _mean(where: str, kind: Kind, total: Total) -> float | None:  # noqa: ARG001
    if not total.count:
        return None
    value, exponent = rounded(total.sum, total.exponent)
    return _power(value / total.count, exponent)


def _std(where: str, kind: Kind, total: Total) -> float | None:  # noqa: ARG001
    if total.count < 2:
        return None
    spread, exponent = rounded(total.count * total.squares - total.sum * total.sum, 2 * total.exponent)
    count = float(total.count)
    return _power(math.sqrt(spread / (count * (count - 1))), exponent // 2)


def _min(where: str, kind: Kind, total: Total) -> Any:  # noqa: ARG001
    return total.low


def _max(where: str, kind: Kind, total: Total) -> Any:  # noqa: ARG001
    return total.high


_SUMMARIES = {"count": _count, "sum": _sum, "mean": _mean, "std": _std, "min": _min, "max": _max}


def _power(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def _ticks(duration: timedelta) -> int:
    return duration // _MICROSECOND
