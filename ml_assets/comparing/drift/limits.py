"""From which values on a column counts as moved."""

from dataclasses import dataclass, field

from ml_assets.comparing.errors import WrongRequest

PSI, MISSING, UNSEEN = "psi", "missing", "unseen"


@dataclass(frozen=True)
class DriftLimits:
    """DriftLimits by method, and how seldom a report may raise a false alarm.

    Attributes:
        values: method -> value above which it counts; a method without one is shown and decides nothing.
        false_alarms: share of reports without any change, 0 to 1, in which at most anything counts as moved.
    """

    values: dict[str, float] = field(default_factory=lambda: {PSI: 0.2, MISSING: 0.1, UNSEEN: 0.05})
    false_alarms: float = 0.05

    def __post_init__(self) -> None:
        for method, value in self.values.items():
            if not value > 0:
                raise WrongRequest(f"--{method.replace('_', '-')} {value:g}: a limit must be above 0")
        if not 0 < self.false_alarms < 1:
            raise WrongRequest(f"--false-alarms {self.false_alarms:g}: give a share above 0 and below 1, such as 0.05")

    def of(self, method: str) -> float | None:
        """Return the limit of a method; None where it decides nothing."""
        return self.values.get(method)
