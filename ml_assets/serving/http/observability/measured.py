"""What a server counts, in plain numbers: Prometheus reads them when it asks, a request only adds."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
"""Bounds in seconds of the time to answer."""

AGE = (1.0, 10.0, 60.0, 600.0, 3600.0, 4 * 3600.0, 86400.0, 7 * 86400.0, 28 * 86400.0)
"""Bounds in seconds of how long ago the newest fact behind a feature was known."""


class Buckets:
    """How many values lie in each part between some bounds, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value; one that is a bound lies below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return each upper bound with how many values lie below it."""
        bounds, below = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            bounds.append((bound, below))
        return bounds


class Answers:
    """How many requests a version answered, the seconds that they took, and the moment of the last, microseconds."""

    __slots__ = ("count", "last", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.last = 0


class Measured(Collector):
    """Counts of one server, added to on its event loop only.

    Attributes:
        seconds: (model, route) -> time to answer or refuse.
        answers: (route, status) -> how many.
        rows: (model, version) -> rows predicted.
        answered: (model, version) -> requests that began with it and were answered.
        missing: model -> feature values that were null.
        states: (model, view, state) -> rows whose stored features were in this state.
        ages: view -> how old features were, seconds.
        gauges: name -> its help, and model -> value.
        counters: name -> its help, and what to ask for the value.
    """

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], Buckets] = defaultdict(lambda: Buckets(LATENCY))
        self.answers: dict[tuple[str, str], int] = defaultdict(int)
        self.rows: dict[tuple[str, str], int] = defaultdict(int)
        self.answered: dict[tuple[str, str], Answers] = defaultdict(Answers)
        self.missing: dict[tuple[str], int] = defaultdict(int)
        self.states: dict[tuple[str, str, str], int] = defaultdict(int)
        self.ages: dict[tuple[str], Buckets] = defaultdict(lambda: Buckets(AGE))
        self.gauges: dict[str, tuple[str, dict[tuple[str], float]]] = {
            "model_version": ("Version that serves.", {}),
            "challenger_version": ("Version that is tried beside it, 0 for none.", {}),
            "refused_versions": ("Versions that failed their check.", {}),
        }
        self.counters: dict[str, tuple[str, Callable[[], float]]] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Render all counts in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Yield each metric, as Prometheus' library collects them."""
        yield _histogram("request_seconds", "Time to answer or refuse.", ("model", "route"), self.seconds)
        yield _counter("answers", "Answers by status.", ("route", "status"), self.answers)
        yield _counter("rows", "Rows predicted.", ("model", "version"), self.rows)
        yield _counter("missing_values", "Feature values that were null.", ("model",), self.missing)
        yield _counter(
            "online_features", "Rows by the state of a view's stored features.", ("model", "view", "state"), self.states
        )
        yield _histogram(
            "feature_age_seconds", "Seconds since the newest fact behind features was known.", ("view",), self.ages
        )  # fmt: skip
        for name, (text, values) in self.gauges.items():
            gauge = GaugeMetricFamily(f"ml_assets_{name}", text, labels=("model",))
            for labels, value in list(values.items()):
                gauge.add_metric(labels, value)
            yield gauge
        for name, (text, value) in self.counters.items():
            yield CounterMetricFamily(f"ml_assets_{name}", text, value=value())


def _counter(name: str, text: str, labels: Sequence[str], counts: Mapping[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(f"ml_assets_{name}", text, labels=labels)
    for values, count in list(counts.items()):
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, labels: Sequence[str], buckets: Mapping[tuple[str, ...], Buckets]) -> Metric:
    family = HistogramMetricFamily(f"ml_assets_{name}", text, labels=labels)
    for values, each in list(buckets.items()):
        family.add_metric(values, each.cumulative(), each.total)
    return family
