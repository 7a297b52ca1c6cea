"""Which metrics there are for what is built in, and which way each is better."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Which way is better, and what a value depends on.

    Attributes:
        greater_is_better: of two values the greater one is the better.
        relative: a fall is tolerated as a share of the value, which has a unit of its own or no upper end.
        by_order: it depends on the order of the scores alone, not on how high they are.
        signed: it can be below zero.
    """

    greater_is_better: bool
    relative: bool = False
    by_order: bool = False
    signed: bool = False

    @property
    def sign(self) -> int:
        """+1 or -1: multiply a difference by it and more is better."""
        return 1 if self.greater_is_better else -1

    @property
    def least(self) -> float:
        """The least value that it can have."""
        return -math.inf if self.signed else 0.0

    @property
    def greatest(self) -> float:
        """The greatest value that it can have."""
        return math.inf if self.relative or not self.greater_is_better else 1.0


class OpenMetrics(Mapping[str, Metric]):
    """Metrics by name, and others beside them that are known by their names without being listed.

    Attributes:
        more: the metric of a name that is not listed; None if there is none.
        patterns: the names of these in words, each with its metric.
    """

    def __init__(
        self, listed: Mapping[str, Metric], more: Callable[[str], Metric | None], patterns: Mapping[str, Metric]
    ) -> None:
        self._listed = dict(listed)
        self.more = more
        self.patterns = patterns

    def __getitem__(self, name: str) -> Metric:
        metric = self._listed.get(name) or self.more(name)
        if metric is None:
            raise KeyError(name)
        return metric

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)

    def where(self, *, greater_is_better: bool) -> "OpenMetrics":
        """Return those of which more, or less, is better."""

        return self.only(lambda name: self[name].greater_is_better == greater_is_better)

    def only(self, fits: Callable[[str], bool]) -> "OpenMetrics":
        """Return those whose name fits; a pattern does where a name of it does."""
        listed = {name: metric for name, metric in self.items() if fits(name)}
        patterns = {pattern: metric for pattern, metric in self.patterns.items() if fits(pattern.replace("<k>", "1"))}
        return OpenMetrics(
            listed, lambda name: metric if (metric := self.more(name)) is not None and fits(name) else None, patterns
        )


UP, DOWN, BY_ORDER = Metric(True), Metric(False), Metric(True, by_order=True)

TOP_PATTERNS = ("precision_at_<k>", "recall_at_<k>", "lift_at_<k>")
_TOP = re.compile(r"(precision|recall|lift)_at_(?:([1-9]\d*)|(\d+(?:\.\d+)?)pct)")


@dataclass(frozen=True)
class TopOfList:
    """A measure of the rows with the highest scores: of so many rows, or of a share of all.

    Attributes:
        measure: precision, recall or lift.
        rows: how many rows; None where a share is given.
        share: of all rows, above 0 and below 1.
    """

    measure: str
    rows: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, name: str) -> "TopOfList | None":
        """Read a name such as precision_at_100 or recall_at_5pct; None if it is none."""
        match = _TOP.fullmatch(name)
        if match is None:
            return None
        if match[2]:
            return cls(match[1], rows=int(match[2]))
        share = float(match[3]) / 100
        return cls(match[1], share=share) if 0 < share < 1 else None


def top_names(at: float) -> list[str]:
    """Return the metrics of the top of a list that ends at a number of rows, or below 1 at a share of all rows."""
    end = f"{at:.0f}" if at >= 1 else f"{100 * at:.6g}pct"
    return [pattern.replace("<k>", end) for pattern in TOP_PATTERNS]


def top_metric(name: str) -> Metric | None:
    """Return the metric that a name of a top of a list stands for; None if it is none."""
    top = TopOfList.parse(name)
    return None if top is None else Metric(True, relative=top.measure == "lift", by_order=True)


PINBALL = {f"pinball_{percent / 100:g}": percent / 100 for percent in range(1, 100)}
"""Pinball losses: name -> quantile."""

VALUE = "value"
"""What decisions bring per thousand rows, by declared payoffs."""

CALIBRATION = "calibration_error"
"""How far frequencies are from what the scores say."""

POSITIVE_CALIBRATION = "positive_calibration_error"
"""How far the number of positives is from what the scores say, where the positives are."""

CALIBRATION_ERRORS = (CALIBRATION, POSITIVE_CALIBRATION)

_ON_DEMAND = {VALUE: Metric(True, relative=True, signed=True), POSITIVE_CALIBRATION: DOWN}


def _more_of_probabilities(name: str) -> Metric | None:
    return _ON_DEMAND.get(name) or top_metric(name)


OF_PROBABILITIES = OpenMetrics(
    {
        "roc_auc": BY_ORDER,
        "average_precision": BY_ORDER,
        "log_loss": DOWN,
        "brier": DOWN,
        "calibration_error": DOWN,
        "f1": UP,
    },
    _more_of_probabilities,
    _ON_DEMAND | {pattern: top_metric(pattern.replace("<k>", "1")) or UP for pattern in TOP_PATTERNS},
)
"""Metrics of a probability for a binary outcome; those on demand are measured only where a declaration names them."""

OF_CLASSES = {"log_loss": DOWN, "roc_auc_ovr": BY_ORDER, "macro_f1": UP, "accuracy": UP, "calibration_error": DOWN}
"""Metrics of probabilities for several classes."""

OF_FORECASTS = {"wape": DOWN, "rmsse": DOWN}
"""Metrics of forecasts of many series, whose sizes differ."""

OF_VALUES = {"mae": DOWN, "rmse": DOWN, "r2": Metric(True, signed=True), **OF_FORECASTS, **dict.fromkeys(PINBALL, DOWN)}
"""Metrics of a predicted number."""
