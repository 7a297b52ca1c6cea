"""Outcomes in words."""

from collections.abc import Sequence

from ml_assets.outcomes.spec import CENSORED, OutcomeSpec
from ml_assets.spines.spec import HORIZON

_WORDS = {"time_to_first": "Seconds to the first", "first": "First value of", "last": "Last value of"}


def describe_outcome(outcome: OutcomeSpec, by: Sequence[str]) -> dict[str, str]:
    """Describe each column of the outcome's table.

    Args:
        by: the columns that a row is found by: the drop, the entity, the time, and those of a horizon.
    """
    partition, *keys = by
    entity = ", ".join(outcome.entity) or "the table"
    late = f" and known within {outcome.settles} after" if outcome.settles else ""
    over = f"over {outcome.window} after the row{late}, of {entity}"
    aggregates = {}
    for name, (base, function) in outcome.aggregate_columns.items():
        of = "facts" if outcome.summaries[base].of == "*" else outcome.summaries[base].of
        aggregates[name] = f"{_WORDS.get(function, f'{function} of')} {of} {over}; null until the window has settled."
        if function == "time_to_first":
            aggregates[f"{name}{CENSORED}"] = f"Whether there is none {over}."
    return {
        partition: "Name of the drop that the row belongs to.",
        **{name: "Key of the entity." for name in keys if name in outcome.spine_entity},
        **{
            name: "Moment of the row, and of what it looks ahead to."
            for name in keys
            if name not in outcome.spine_entity
        },
        **({HORIZON: "How far ahead the row looks."} if HORIZON in by else {}),
        **aggregates,
        outcome.name: f"{outcome.label}; null while it is not known.",
        outcome.known_at_column: "Moment at which the label is known, or will be at the latest.",
    }
