"""What rules can look at: each kind of evidence reads observations of a model or a source from the lake."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ml_assets.extensions import Extensions

if TYPE_CHECKING:
    from ml_assets.alerts.spec import AlertRule
    from ml_assets.lake import Lake

About = Literal["model", "source"]


@dataclass(frozen=True)
class AlertObservation:
    """One value that a rule judges.

    Attributes:
        at: the moment that it is of, such as the end of a drop, UTC.
        value: None where it is not known.
        text: what it is about, in plain words.
        limit: what it is held against where the rule declares no limit of its own.
        beyond: whether it is beyond that.
    """

    at: datetime
    value: float | None
    text: str
    limit: float | None = None
    beyond: bool | None = None


class AlertEvidence:
    """A kind of evidence.

    A new one is a module with a subclass and an instance of it, registered under its name: by an entry point of the
    group ``ml_assets.alert_evidence``, or in the process by ``ALERT_EVIDENCE.register``. It says what it is evidence
    about, and implements ``of_model``, ``of_source`` or both.

    Attributes:
        about: what it is evidence of: ``model``, ``source``.
        unit: of its values, in words.
        has_own_limit: whether observations come with a limit that is declared elsewhere.
        has_history: whether there is one observation for each drop, not one value as of now.
    """

    about: tuple[About, ...]
    unit: str
    has_own_limit: bool = False
    has_history: bool = True

    def of_model(self, lake: "Lake", model: Any, rule: "AlertRule", as_of: datetime) -> Sequence[AlertObservation]:
        """Return the latest observations of a model (a ``ModelContext``) that were known at a moment, the oldest first;
        more than ``observations_needed`` need not be read."""
        raise NotImplementedError(f"{type(self).__name__} says nothing of models")

    def of_source(self, lake: "Lake", source: Any, rule: "AlertRule", as_of: datetime) -> Sequence[AlertObservation]:
        """Return those of a source (a ``DeclaredSource``)."""
        raise NotImplementedError(f"{type(self).__name__} says nothing of sources")


def observations_needed(rule: "AlertRule") -> int:
    """Return how many observations a rule looks at, and as many again in case the latest are not known."""
    return 2 * max(rule.of_last, rule.calm) + 4


_MODELS, _SOURCES = "ml_assets.observations.models", "ml_assets.observations.sources"

ALERT_EVIDENCE: "Extensions[AlertEvidence]" = Extensions(
    "ml_assets.alert_evidence",
    "alert evidence",
    {
        "drift": f"{_MODELS}:DRIFT",
        "estimated_performance": f"{_MODELS}:ESTIMATED",
        "realised_performance": f"{_MODELS}:REALISED",
        "fairness": f"{_MODELS}:FAIRNESS",
        "quarantine_share": f"{_SOURCES}:QUARANTINE",
        "missing_share": f"{_SOURCES}:MISSING",
        "late_delivery": f"{_SOURCES}:LATE",
        "freshness": "ml_assets.observations.both:FRESHNESS",
        "failed_gate": "ml_assets.observations.both:FAILED_GATE",
    },
    "ml_assets.alerts.evidence:AlertEvidence",
)
