"""The rules that a reference suggests, by the same measure as a scaffolded contract: what held for every row of it."""

import math
from collections.abc import Collection

from ml_assets.comparing.contract.identity import LEAST
from ml_assets.comparing.contract.rules import (
    AtLeast,
    AtMost,
    ColumnRule,
    Constant,
    Finite,
    NotNegative,
    OfKind,
    OneOf,
    Required,
    Whole,
)
from ml_assets.comparing.rows.facts import ColumnFacts
from ml_assets.comparing.rows.kinds import EMPTY, NUMBER, TEXT
from ml_assets.scaffolding.columns import are_choices


def infer_rules(facts: ColumnFacts, keys: Collection[str]) -> list[ColumnRule]:
    """Return the rules of one column; of a reference of fewer than `LEAST` rows that of its kind alone.

    Args:
        keys: columns that identify rows, of which values are not bounded.
    """
    name = facts.name
    if facts.kind is EMPTY:
        return []
    rules: list[ColumnRule] = [] if facts.kind is TEXT else [OfKind(name, facts.kind)]
    if facts.known < LEAST:
        return rules
    rules += [Required(name)] if facts.missing == 0 else []
    if facts.only_value is not None:
        return [*rules, Constant(name, facts.only_value, facts.smallest if facts.kind.numeric else None)]
    if facts.kind is TEXT and facts.counts is not None and are_choices(facts.counts, facts.known):
        rules.append(OneOf(name, tuple(sorted(facts.counts))))
    if facts.kind.numeric and facts.smallest is not None:
        rules += [Finite(name)] if facts.infinite == 0 else []
        rules += [Whole(name)] if facts.fractional == 0 and facts.kind is NUMBER else []
        rules += [NotNegative(name)] if facts.smallest >= 0 else []
        floor = 0.0 if facts.smallest >= 0 else -math.inf
        rules += [] if name in keys else [AtLeast(name, facts.smallest, floor), AtMost(name, facts.largest)]
    return rules
