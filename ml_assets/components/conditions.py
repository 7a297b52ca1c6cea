"""When an asset is materialized by itself, each condition named once.

What is cut into drops follows its inputs drop by drop. What is not cut, such as a list of customers or the
champion, is read as it is when a drop comes, and never makes history run again.
"""

from collections.abc import Iterable

import dagster as dg

from ml_assets.components.stages import STAGE, STATIC_SOURCE, STATIC_TABLE, TRAINING

AC = dg.AutomationCondition

TRAINED = dg.AssetSelection.tag(STAGE, TRAINING)
NOT_CUT = TRAINED | dg.AssetSelection.tag(STAGE, STATIC_SOURCE) | dg.AssetSelection.tag(STAGE, STATIC_TABLE)

INPUT_UPDATED = AC.any_deps_match(AC.newly_updated()).with_label("an input is updated")
INPUT_REQUESTED = AC.any_deps_match(AC.will_be_requested()).with_label("an input is about to be updated")

# Not `all_deps_blocking_checks_passed`, which asks of a check that is not cut into drops whether it will run with
# one, and so lets nothing run together. The input's own run holds back what follows it there.
READY = (
    ~AC.in_progress()
    & (AC.will_be_requested() | (~AC.missing() & AC.all_checks_match(AC.check_passed(), blocking_only=True)))
).with_label("there, at rest and past its blocking checks, or about to be")

INPUTS_READY = AC.all_deps_match(READY).with_label("every input is ready")

# A tick reads what was updated when it begins and what is running a moment later. What ends in between would seem
# at rest and not updated, so an asset that ran at the last tick or was requested then is looked at a tick later.
_JUST_ENDED = (~AC.in_progress()).newly_true() & ~AC.initial_evaluation()
AT_REST = (~AC.in_progress() & ~_JUST_ENDED & ~AC.newly_requested()).with_label("at rest since the last tick")


def _pending(ignored: dg.AssetSelection | None = None) -> dg.AutomationCondition:
    """Build the condition that an input is newer than the asset and than the last request for it, or will be in the
    same run."""
    updated, requested = INPUT_UPDATED, INPUT_REQUESTED
    if ignored is not None:
        updated, requested = updated.ignore(ignored), requested.ignore(ignored)
    # Each `since` compares moments, but not with an `or` inside, such as the one in `since_last_handled`: that
    # loses what is updated again between a request and the next tick.
    unhandled = updated.since(AC.newly_requested()) & updated.since(AC.newly_updated())
    return (unhandled.with_label("an update is not handled") | requested).with_label("an input is newer")


FOLLOW_WHOLE = (_pending() & INPUTS_READY & AT_REST).with_label("follow the inputs")
"""For an asset that is not cut into drops."""

FOLLOW_DROPS = (_pending(NOT_CUT) & INPUTS_READY & AT_REST).with_label("follow the inputs of the drop")

_MODEL_THERE = ~AC.any_deps_match(AC.missing()).allow(TRAINED)
_TO_COME = AC.any_deps_match(AC.missing()).ignore(NOT_CUT)
_SCORABLE = (~AC.missing() | (_MODEL_THERE & _TO_COME).since(AC.newly_updated())).with_label(
    "scored before, or not there yet when there was a champion"
)

SCORE_DROPS = (_pending(NOT_CUT) & _SCORABLE & INPUTS_READY & AT_REST).with_label("score drops that come in")
"""History from before the first champion stays unscored, also when it is corrected: the champion has learnt it."""

REFRESH_WHEN_STALE = (AC.freshness_failed().newly_true() & AT_REST).with_label("refresh once when stale")


FOLLOW_OR_REFRESH = (FOLLOW_WHOLE | REFRESH_WHEN_STALE).with_label("follow the inputs, refresh once when stale")


def retrain_when_stale(champion: dg.AssetKey) -> dg.AutomationCondition:
    """Build the condition that requests all assets of a training at once, when the champion has not been looked at for
    too long."""
    stale = AC.asset_matches(champion, AC.freshness_failed().newly_true()).with_label("the champion is stale")
    return (stale & AT_REST).with_label("train once when the champion is stale")


def follow_inputs(partitions: dg.PartitionsDefinition | None) -> dg.AutomationCondition:
    """Build the condition of an asset that is computed from others, by its partitions."""
    return FOLLOW_WHOLE if partitions is None else FOLLOW_DROPS


def follow_together(
    partitions: dg.PartitionsDefinition | None, made: Iterable[dg.AssetKey], inputs: Iterable[dg.AssetKey]
) -> dg.AutomationCondition:
    """Build the condition of each asset of a step: a request for one asset starts all, so every input of the step must
    be ready.

    Args:
        made: what the step makes; these follow each other within it.
        inputs: what the step reads of others.
    """
    ignored = dg.AssetSelection.assets(*made)
    condition = _pending(ignored if partitions is None else ignored | NOT_CUT) & AT_REST
    for key in sorted(inputs):
        condition &= AC.asset_matches(key, READY).with_label(f"{key.to_user_string()} is ready")
    return condition.with_label("follow the inputs of the step")
