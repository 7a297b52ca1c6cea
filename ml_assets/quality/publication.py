"""Which deliveries of a source come into use: those that passed their gate, each after the drops before it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ml_assets.quality.checks import CheckMeasurement

AfterFailure = Literal["wait", "continue"]

IN_ORDER = "in_order"
HISTORY = "history"
_LISTED = 24


@dataclass(frozen=True)
class Withheld:
    """A delivery that is not in use. Its rows stay in the raw table.

    Attributes:
        drop: the drop that it is a delivery of.
        failed: the blocking checks that it failed; none if it only waits.
        waits_for: earlier drops that failed theirs, without any rows in use, that it waits for.
        in_use: whether rows of the delivery before it still are.
    """

    drop: str
    failed: tuple[str, ...]
    waits_for: tuple[str, ...]
    in_use: bool


@dataclass(frozen=True)
class Publication:
    """What comes of the deliveries of some drops.

    Attributes:
        published: drops whose delivery comes into use.
        withheld: every delivery of the source that is withheld, by drop.
    """

    published: tuple[str, ...]
    withheld: Mapping[str, Withheld]


def publish(
    failed: Mapping[str, Collection[str]],
    held: Mapping[str, Withheld],
    in_use: Collection[str],
    after_failure: AfterFailure,
) -> Publication:
    """Decide, drop by drop, whether a delivery comes into use.

    One that failed is withheld, and what was in use of the drop before stays so. After a drop that was delivered and
    of which nothing is in use, later ones wait or go on without it, as declared.

    Args:
        failed: drop -> the blocking checks that its delivery failed, for each delivery that is judged.
        held: the deliveries withheld so far.
        in_use: drops that have rows in use.
    """
    published, withheld = [], {drop: delivery for drop, delivery in held.items() if drop not in failed}
    for drop in sorted(failed):
        blocks = [
            delivery.drop
            for delivery in withheld.values()
            if delivery.drop < drop and delivery.failed and delivery.drop not in in_use
        ]
        waits_for = tuple(sorted(blocks)) if after_failure == "wait" and not failed[drop] else ()
        if failed[drop] or waits_for:
            withheld[drop] = Withheld(drop, tuple(failed[drop]), waits_for, drop in in_use)
        else:
            published.append(drop)
    return Publication(tuple(published), withheld)


def waiting(held: Mapping[str, Withheld]) -> list[str]:
    """Return the drops that failed nothing themselves and only wait for others, in order."""
    return sorted(drop for drop, delivery in held.items() if not delivery.failed)


def not_in_use(
    drop: str, periods: Iterable[str], delivered: Collection[str], withheld: Mapping[str, Withheld]
) -> tuple[list[str], list[str]]:
    """Return the periods before a drop that are withheld, and those that were never delivered.

    Args:
        periods: names of drops in order, from the first that was delivered.
        delivered: drops that were delivered.
    """
    before = [name for name in periods if name < drop]
    empty = [name for name in before if name in withheld and not withheld[name].in_use]
    return empty, [name for name in before if name not in delivered]


def in_order(delivery: Withheld | None) -> CheckMeasurement:
    """Check `in_order`: no earlier drop is waited for."""
    names = [] if delivery is None else list(delivery.waits_for)
    return CheckMeasurement(IN_ORDER, float(len(names)), 0.0, not names, {"waits_for": names})


def history(withheld: list[str], never_delivered: list[str]) -> CheckMeasurement:
    """Check `history`: every period since the first drop is in use; windows that look back count nothing of others."""
    missing = len(withheld) + len(never_delivered)
    evidence = {"withheld": withheld[-_LISTED:], "never_delivered": never_delivered[-_LISTED:]}
    return CheckMeasurement(HISTORY, float(missing), 0.0, missing == 0, evidence)
