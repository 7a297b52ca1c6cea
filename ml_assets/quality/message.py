"""One line about a drop that its gate does not let through: what is wrong, where it shows, and what to do."""

from collections.abc import Iterator, Sequence

from ml_assets.quality.checks import CheckMeasurement
from ml_assets.quality.gate import BrokenRule, GateResult

_RULES = 5


class BrokenDrop(ValueError):
    """Drops that a blocking check holds back: one line for all of them."""


def broken_drop(
    source: str,
    drop: str,
    failed: Sequence[CheckMeasurement],
    gate: GateResult,
    quarantine: str,
    twins: Sequence[str] = (),
    waits_for: Sequence[str] = (),
) -> str:
    """Return the drop, its failed blocking checks, the broken rules with their first rows, and where the quarantine is.

    Args:
        quarantine: address of the quarantine table.
        twins: other drops with the same rows.
        waits_for: earlier drops that failed their gate and that this one waits for.
    """
    if waits_for:
        return (
            f"source {source!r}, drop {drop!r}: it waits for {', '.join(waits_for)}, of which no rows are in use; have "
            "that delivered right, or declare `after_failure: continue` to go on without"
        )
    parts = [f"source {source!r}, drop {drop!r}: {', '.join(check.name for check in failed)} failed"]
    if twins:
        parts.append(f"this is the delivery of {', '.join(twins)} again: its rows are the same")
    rows = gate.validated.height + gate.quarantine.height
    if gate.broken:
        allowed = next((check.threshold for check in failed if check.name == "contract"), None)
        limit = "" if allowed is None else f", allowed are {allowed:.3%}"
        parts.append(f"{gate.bad_rows} of {rows} rows ({gate.bad_share:.3%}) break a rule{limit}")
        parts += list(_rules(gate.broken))
        parts.append(f"they are in {quarantine} with _drop = {drop!r}")
    else:
        parts += [f"{check.name} is {check.value:g}, its limit {check.threshold}" for check in failed]
    return "; ".join([*parts, "correct the delivery, or the contract"])


def _rules(broken: Sequence[BrokenRule]) -> Iterator[str]:
    for breach in broken[:_RULES]:
        yield f"{breach.rule.name}: {breach.rows} row{'s' if breach.rows > 1 else ''}, {', '.join(breach.examples)}"
    if len(broken) > _RULES:
        yield f"and {len(broken) - _RULES} rules more"
