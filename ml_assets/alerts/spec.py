"""What a user declares about alerts on a model or a source."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.alerts.evidence import ALERT_EVIDENCE
from ml_assets.durations import check_duration


def _list_evidence(schema: dict[str, Any]) -> None:
    schema["enum"] = ALERT_EVIDENCE.names()


class AlertRule(BaseModel):
    """When people are to look at something, who, and how they are told."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Name of the rule, in snake case; it stands in messages.")
    evidence: str = Field(
        description="What is looked at. Of a model: drift, estimated_performance, realised_performance, fairness, "
        "freshness (hours since the champion's training cut-off), failed_gate (a challenger that is refused). Of a "
        "source: quarantine_share, missing_share (of the required columns), freshness (hours since the end of the "
        "newest drop), late_delivery (hours since the end of the first drop that is missing), failed_gate (a drop that "
        "is withheld). Or what an installed package adds.",
        json_schema_extra=_list_evidence,
    )
    metric: str = Field(
        default="",
        description="Which of it: a drift statistic (psi), a metric (the one the model is watched by) or a limit of "
        "`fairness` (all that are declared).",
    )
    above: float | None = Field(default=None, description="Value above which it counts, in the evidence's unit.")
    below: float | None = Field(default=None, description="Value below which it counts, in the evidence's unit.")
    breaches: int = Field(
        default=1, description="Observations that must be beyond the limit, the latest among them, before it opens."
    )
    of_last: int = Field(default=1, description="Latest observations among which those are counted.")
    calm: int = Field(default=1, description="Latest observations that must keep the limit before it ends.")
    severity: Literal["info", "warning", "critical"] = Field(
        default="warning", description="How grave it is: info, warning or critical."
    )
    owners: list[str] = Field(
        default_factory=list, description="Who answers for it; absent: the owners of what the rule is declared on."
    )
    channels: list[str] = Field(
        default_factory=list, description="Channels that it is sent to, such as [pagerduty, slack]; absent: all."
    )
    again_after: str = Field(
        default="7d", description="Time after which one that is open, and that nobody took up, is sent again."
    )
    worse_by: float = Field(
        default=0.5,
        description="How much farther beyond its limit than when it was last sent a value must be, as a share of that "
        "distance, for it to be sent again at once.",
    )

    # Dagster resolves a nested model from YAML only if its annotations are plain: limits are checked here.
    @model_validator(mode="after")
    def _consistent(self) -> "AlertRule":
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"name: {self.name!r} must be lower case letters, digits and _, and begin with a letter")
        if self.evidence not in ALERT_EVIDENCE.names():
            raise ValueError(f"evidence: {self.evidence!r} is none of {', '.join(ALERT_EVIDENCE.names())}")
        if self.above is not None and self.below is not None:
            raise ValueError("above: is given beside `below`: leave one of the two out")
        check_duration("again_after", self.again_after)
        for field, least in (("breaches", 1), ("of_last", 1), ("calm", 1), ("worse_by", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"{field}: {getattr(self, field)} is less than {least}")
        if self.breaches > self.of_last:
            raise ValueError(f"breaches: {self.breaches} of the last {self.of_last} observations can never happen")
        return self

    @property
    def limit(self) -> float | None:
        """The declared limit; None where the evidence brings its own."""
        return self.above if self.above is not None else self.below


def check_rules(about: Literal["model", "source"], rules: Sequence[AlertRule]) -> None:
    """Raise ValueError for rules that share a name, or whose evidence there is none of on such a thing."""
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"alerts: two rules are called {', '.join(twice)}: give each a name of its own")
    for rule in rules:
        evidence = ALERT_EVIDENCE.get(rule.evidence)
        if about not in evidence.about:
            fitting = [name for name, each in ALERT_EVIDENCE.loadable().items() if about in each.about]
            raise ValueError(
                f"alerts.{rule.name}: there is no {rule.evidence} of a {about}; choose from {', '.join(fitting)}"
            )
        if rule.limit is None and not evidence.has_own_limit:
            raise ValueError(f"alerts.{rule.name}: declare `above` or `below`, in {evidence.unit}")
        if rule.of_last > 1 and not evidence.has_history:
            raise ValueError(f"alerts.{rule.name}: {rule.evidence} is one value, as of now: leave of_last out")
