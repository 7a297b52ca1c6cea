"""What a user declares about retraining: which evidence counts, how much of it, and how often at most."""

from datetime import timedelta
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import check_duration, parse_duration

EvidenceKind = Literal["realised", "estimated", "calibration", "drift", "multivariate", "new_labels", "age"]
RESAMPLED = ("realised", "estimated", "calibration", "drift")
"""Evidence that noise alone can breach: these share the declared rate of false alarms."""


class RetrainingSpec(BaseModel):
    """When a model is trained again. Limits that noise could pass are learned from the champion's reference."""

    model_config = ConfigDict(extra="forbid")

    evidence: list[EvidenceKind] = Field(
        default=["realised", "estimated", "calibration", "new_labels", "age"],
        description="Kinds of evidence that may start a retraining; the others are recorded all the same. Drift is"
        " not among them: features move with every season, and what that costs shows in estimated performance.",
    )
    breaches: int = Field(default=2, description="Chunks that must breach a limit, the latest among them.")
    of_last: int = Field(default=3, description="Latest chunks among which breaches are counted.")
    false_alarm_rate: float = Field(
        default=0.03,
        description="Chance per period, 0 to 1, that noise alone starts a retraining, over all evidence together.",
    )
    max_drop: float = Field(
        default=0.02,
        description="Loss against the reference that is tolerated in the model's metric and in calibration error; of a"
        " regression the share by which its metric may be worse.",
    )
    floor: float | None = Field(
        default=None, description="Value of the model's metric on whose worse side a chunk breaches in any case."
    )
    drift_share: float = Field(
        default=0.5, description="Share of features, 0 to 1, that may pass the PSI threshold in a chunk."
    )
    growth: float | None = Field(
        default=1.5,
        description="Labelled rows, as a multiple of those at the last training, from which they are a reason; of a"
        " spine that declares a sample by the entity-moments that they stand for.",
    )
    max_age: str | None = Field(default="180d", description="Age of the champion's training cut-off that is tolerated.")
    cooldown: str | None = Field(
        default="21d", description="Least time between two trainings, and after a roll-back; empty for none."
    )
    min_new_labels: int = Field(
        default=1000,
        description="Rows labelled since the last training that one needs; also a sample's are counted as rows.",
    )
    widen_for_few_days: bool = Field(
        default=False,
        description="Whether limits learned from the reference are widened by what its few days leave open: how far its"
        " own mean is off, how days depend on one another, and how little a few days say of how much days differ.",
    )
    resamples: int = Field(default=500, description="Resampled chunks that the limits are learned from.")
    attempts: int = Field(default=3, description="How often a decided retraining is tried if it fails.")
    retry_after: str = Field(default="10m", description="Time before the second try; it doubles with each further one.")

    @model_validator(mode="after")
    def _consistent(self) -> "RetrainingSpec":
        for field in ("max_age", "cooldown", "retry_after"):
            check_duration(field, getattr(self, field))
        if not 1 <= self.breaches <= self.of_last:
            raise ValueError(f"breaches: {self.breaches} of the last {self.of_last} chunks can never happen")
        if not 0 < self.false_alarm_rate < 1:
            raise ValueError(f"false_alarm_rate: {self.false_alarm_rate} is no chance between 0 and 1")
        for field in ("max_drop", "min_new_labels"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field}: {getattr(self, field)} must not be negative")
        if not 0 <= self.drift_share <= 1:
            raise ValueError(f"drift_share: {self.drift_share} is no share between 0 and 1")
        if self.growth is not None and self.growth <= 1:
            raise ValueError(f"growth: {self.growth} must be above 1; leave it empty to ignore new rows")
        for field, least in (("resamples", 100), ("attempts", 1)):
            if getattr(self, field) < least:
                raise ValueError(f"{field}: {getattr(self, field)} is less than {least}")
        return self

    @property
    def cooldown_time(self) -> timedelta:
        return timedelta(0) if self.cooldown is None else parse_duration(self.cooldown)

    @property
    def retry_time(self) -> timedelta:
        return parse_duration(self.retry_after)

    @property
    def max_age_time(self) -> timedelta | None:
        return None if self.max_age is None else parse_duration(self.max_age)


def policies(declared: RetrainingSpec) -> dict[str, RetrainingSpec]:
    """Return the policies that a replay compares, by name; all are judged by the same ``decide``.

    ``never``; ``monthly`` and ``every-drop``, which go by age alone; ``evidence``, the declared one; and, to see what
    each kind of evidence is worth, the declared one with that kind alone.
    """
    bare = {"cooldown": None, "min_new_labels": 0}
    alone = {kind: declared.model_copy(update={"evidence": [kind]}) for kind in get_args(EvidenceKind)}
    return {
        "never": declared.model_copy(update={"evidence": []}),
        "monthly": declared.model_copy(update={"evidence": ["age"], "max_age": "28d", **bare}),
        "every-drop": declared.model_copy(update={"evidence": ["age"], "max_age": "1s", **bare}),
        "evidence": declared,
        **alone,
    }
