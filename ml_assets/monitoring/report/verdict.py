"""From the summaries of a period to one sentence and what to do."""

from dataclasses import dataclass
from typing import Literal

from ml_assets.monitoring.chunk_sizes import ChunkSizes
from ml_assets.monitoring.report.summary import Breach, DriftSummary, PerformanceSummary

_NAMED_FEATURES = 3


@dataclass(frozen=True)
class Verdict:
    """``act``: performance is beyond a limit. ``watch``: only the inputs have moved, or nothing could be held against
    its limit. ``ok``: none of these."""

    level: Literal["ok", "watch", "act"]
    sentence: str
    actions: tuple[str, ...]


def judge(
    drift: DriftSummary | None, performance: PerformanceSummary | None, sizes: ChunkSizes | None = None
) -> Verdict:
    """Judge performance first, then drift: drift that does no harm is no reason to act.

    Args:
        sizes: of the chunks; where none is large enough to be watched, that no limit is passed says nothing.
    """
    if drift and not drift.rows:
        return Verdict(
            "ok",
            "No row was scored in this period.",
            ("If there should have been some, look at the sources and their quarantine.",),
        )
    breaches = performance.breaches if performance else ()
    if breaches:
        return Verdict(
            "act", "Performance is beyond its limit: " + "; ".join(map(_describe, breaches)) + ".", _act(breaches)
        )
    if drift and (drift.breached or drift.sustained):
        return Verdict("watch", _moved(drift), _watch(drift, performance))
    if sizes and sizes.unwatched:
        few = "No limit is passed, as too few rows were scored to be held against one."
        return Verdict("watch", few, (sizes.sentence,))
    return Verdict(
        "ok", "No limit is passed: the model works on the kind of data it was tested on.", ("Nothing to do.",)
    )


def _describe(breach: Breach) -> str:
    value = "undefined" if breach.value is None else f"{breach.value:.3f}"
    lasting = ", in several of the latest chunks" if breach.sustained else ""
    return f"{breach.kind} {breach.metric} is {value}, its limit {breach.threshold:g}{lasting}"


def _act(breaches: tuple[Breach, ...]) -> tuple[str, ...]:
    if any(breach.kind == "realised" for breach in breaches):
        return (
            "Retrain on data that includes this period, and compare with the champion on the same rows.",
            "If the drop came at once, look for a fault in a source first: the drift table names features.",
            "If the version before did better on this period, roll back until then.",
        )
    return (
        "Wait for the labels of this period if they are due soon: an estimate misses changes in how the "
        "outcome depends on the features, and is misled by scores that are no longer calibrated.",
        "Otherwise retrain on the latest labelled data.",
    )


def _moved(drift: DriftSummary) -> str:
    if not drift.breached:
        names = _names(drift.sustained)
        return f"The inputs have moved lately: {names} passed a PSI of {drift.threshold:g} in the latest chunks."
    return (
        f"The inputs have moved: {len(drift.drifted)} of {drift.features} features pass a PSI of "
        f"{drift.threshold:g} ({_names(drift.drifted)}); no performance limit is passed."
    )


def _watch(drift: DriftSummary, performance: PerformanceSummary | None) -> tuple[str, ...]:
    moved = drift.drifted or drift.sustained
    actions = [f"Check the sources of {_names(moved)}: has a meaning, unit or delivery changed, or just the season?"]
    if performance is None or not performance.labelled_rows:
        actions.append("Compare with realised performance as soon as labels are known.")
    actions.append("Features that always differ between periods, such as calendar ones, belong under exclude.")
    return tuple(actions)


def _names(features: tuple[str, ...]) -> str:
    more = len(features) - _NAMED_FEATURES
    return ", ".join(features[:_NAMED_FEATURES]) + (f" and {more} more" if more > 0 else "")
