"""Which fact settles a label before its window has ended, so that no later fact can undo it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Comparison = Literal[">", ">="]


@dataclass(frozen=True)
class Settled:
    """The facts that settle a label: the first of them that is known does.

    `count` and `max` only grow as facts come, `min` only falls, and what happened first stays first. A label that
    compares one of these with a number can therefore change once at most, when the threshold is passed.

    Attributes:
        base: of the aggregate whose facts they are.
        beyond: how the fact's value compares with the threshold; None if any fact settles it.
        threshold: the number; of no meaning if any fact settles it.
        falling: whether the value must lie below the threshold instead of above.
        in_order: whether it rests on no earlier fact becoming known later.
    """

    base: str
    beyond: Comparison | None = None
    threshold: float = 0.0
    falling: bool = False
    in_order: bool = False

    def settles(self, value: float) -> bool:
        """Return whether a fact of this value settles the label."""
        side, limit = (-value, -self.threshold) if self.falling and self.beyond else (value, self.threshold)
        return self.beyond is None or (side > limit if self.beyond == ">" else side >= limit)


_OF_FIRST = ("first", "time_to_first")
# Whether the aggregate changes the comparison for good by passing the number, or by reaching it.
_PASSES: Mapping[str, Comparison] = {"GT": ">", "LTE": ">", "EQ": ">", "NEQ": ">", "GTE": ">=", "LT": ">="}
_PASSES_FALLING: Mapping[str, Comparison] = {"LT": ">", "GTE": ">", "EQ": ">", "NEQ": ">", "LTE": ">=", "GT": ">="}
_MIRRORED = {"GT": "LT", "LT": "GT", "GTE": "LTE", "LTE": "GTE", "EQ": "EQ", "NEQ": "NEQ"}


def settled_early(label: str, aggregates: Mapping[str, tuple[str, str]]) -> Settled | None:
    """Return which facts settle a label for good; None if that cannot be said of any fact alone.

    Args:
        label: a valid expression over the aggregates' columns.
        aggregates: column -> (base name, function).
    """
    import sqlglot
    from sqlglot import exp

    parsed = sqlglot.parse_one(label)
    read = {_of(column.name, aggregates) for column in parsed.find_all(exp.Column)}
    if len({base for base, _ in read}) == 1 and {function for _, function in read} <= {*_OF_FIRST}:
        return Settled(next(iter(read))[0], in_order=True)
    return _compared(parsed, aggregates)


def _of(column: str, aggregates: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """Return base and function of an aggregate's column, or of the one that says what is censored."""
    return aggregates.get(column) or aggregates.get(column.removesuffix("_censored"), ("", ""))


def _compared(parsed: object, aggregates: Mapping[str, tuple[str, str]]) -> Settled | None:
    from sqlglot import exp

    while isinstance(parsed, exp.Paren | exp.Not):
        parsed = parsed.this
    if not isinstance(parsed, exp.Binary):
        return None
    left, right, name = parsed.this, parsed.expression, type(parsed).__name__
    if isinstance(right, exp.Column):
        left, right, name = right, left, _MIRRORED.get(name, "")
    number = _number(right)
    if not isinstance(left, exp.Column) or number is None or name not in _PASSES:
        return None
    base, function = _of(left.name, aggregates)
    if function == "count" and left.name in aggregates:
        # The first fact takes the count from 0 to 1.
        decided = 0 <= number < 1 if _PASSES[name] == ">" else 0 < number <= 1
        return Settled(base) if decided else None
    if function in ("min", "max") and left.name in aggregates:
        falling = function == "min"
        return Settled(base, (_PASSES_FALLING if falling else _PASSES)[name], number, falling)
    return None


def _number(node: object) -> float | None:
    from sqlglot import exp

    sign = 1.0
    while isinstance(node, exp.Neg | exp.Paren):
        sign = -sign if isinstance(node, exp.Neg) else sign
        node = node.this
    return sign * float(node.this) if isinstance(node, exp.Literal) and not node.is_string else None
