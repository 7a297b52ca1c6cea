"""What a server counts, in plain numbers: Prometheus reads them when it asks, a request only adds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ml_assets.serving.http.observability.counts import BucketsBy, Counts, Everywhere, counts_of
from ml_assets.serving.http.observability.row_counts import AGE, AGES, RowCounts
from ml_assets.serving.http.observability.shared_cells import SharedCells

LATENCY = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
"""Bounds in seconds of the time to answer."""

_ASKED, _COUNTER, _GAUGE = "asked", "counter", "gauge"
"""What is not counted request by request: its name among shared cells, and its labels there before its own name."""


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
        answered: (model, version) -> requests that began with it and were answered.
        of_rows: what is counted of their rows.
        gauges: name -> its help, and model -> value.
        view_gauges: name -> its help, its labels, and their values -> value.
        counters: name -> its help, and what to ask for the value.

    Args:
        shared: folder in which processes that serve together count; None for one process.
    """

    def __init__(self, shared: Path | None = None) -> None:
        cells = self._cells = None if shared is None else SharedCells(shared)
        self.seconds = BucketsBy("request_seconds", LATENCY, cells)
        self.answers = counts_of("answers", cells)
        self.answered: dict[tuple[str, str], Answers] = defaultdict(Answers)
        self.of_rows = RowCounts(
            rows=counts_of("rows", cells),
            fallbacks=counts_of("fallback_rows", cells),
            missing=counts_of("missing_values", cells),
            states=counts_of("online_features", cells),
            ages=BucketsBy(AGES, AGE, cells),
        )
        self._asked = counts_of(_ASKED, cells)
        self.gauges: dict[str, tuple[str, dict[tuple[str], float]]] = {
            "model_version": ("Version that serves.", {}),
            "challenger_version": ("Version that is tried beside it, 0 for none.", {}),
            "refused_versions": ("Versions that failed their check.", {}),
            "log_behind_seconds": ("Seconds since all logged answers were last written to the lake.", {}),
        }
        self.view_gauges: dict[str, tuple[str, Sequence[str], dict[tuple[str, ...], float]]] = {
            "view_state": ("1 for the state that a view is in, 0 for others.", ("view", "state"), {}),
            "view_complete_until_seconds": (
                "Moment up to which a view's facts are known to be complete.", ("view",), {},
            ),
            "model_ready": ("1 where the views that a model looks up are there, else 0.", ("model",), {}),
        }  # fmt: skip
        self.counters: dict[str, tuple[str, Callable[[], float]]] = {}
        self._process = ProcessCollector(registry=None)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self, accepted: str) -> tuple[bytes, str]:
        """Render all counts as a client takes them; returns the text and its media type.

        Args:
            accepted: value of the header Accept; OpenMetrics where it names that, else Prometheus' text.
        """
        encode, media_type = choose_encoder(accepted)
        return encode(self._registry), media_type

    def publish(self) -> None:
        """Let other processes know what is not counted request by request; for now and then, and the end."""
        if self._cells is not None:
            self._ask()

    def _ask(self) -> None:
        for name, (_, value) in self.counters.items():
            self._asked[_COUNTER, name] = value()
        for metric in self._process.collect():
            for sample in metric.samples:
                self._asked[_COUNTER if metric.type == "counter" else _GAUGE, sample.name] = sample.value

    def collect(self) -> Iterable[Metric]:
        """Yield each metric, as Prometheus' library collects them."""
        self._ask()
        everywhere = Everywhere(self._cells)

        def counter(name: str, text: str, labels: Sequence[str], own: Counts) -> Metric:
            family = CounterMetricFamily(f"ml_assets_{name}", text, labels=labels)
            for values, count in everywhere.counts(name, own).items():
                family.add_metric(values, count)
            return family

        def histogram(text: str, labels: Sequence[str], own: BucketsBy) -> Metric:
            family = HistogramMetricFamily(f"ml_assets_{own.name}", text, labels=labels)
            for values, each in everywhere.buckets(own).items():
                family.add_metric(values, each.cumulative(), each.total)
            return family

        of_rows = self.of_rows
        yield histogram("Time to answer or refuse.", ("model", "route"), self.seconds)
        yield counter("answers", "Answers by status.", ("route", "status"), self.answers)
        yield counter("rows", "Rows predicted.", ("model", "version"), of_rows.rows)
        yield counter("fallback_rows", "Rows answered in a model's place.", ("model", "version"), of_rows.fallbacks)
        yield counter("missing_values", "Feature values that were null.", ("model",), of_rows.missing)
        yield counter(
            "online_features",
            "Rows by the state of a view's stored features.",
            ("model", "view", "state"),
            of_rows.states,
        )
        yield histogram("Seconds since the newest fact behind features was known.", ("view",), of_rows.ages)
        for name, (text, values) in self.gauges.items():
            gauge = GaugeMetricFamily(f"ml_assets_{name}", text, labels=("model",))
            for labels, value in list(values.items()):
                gauge.add_metric(labels, value)
            yield gauge
        for name, (text, labels, values) in self.view_gauges.items():
            gauge = GaugeMetricFamily(f"ml_assets_{name}", text, labels=labels)
            for own, value in list(values.items()):
                gauge.add_metric(own, value)
            yield gauge
        yield from self._asked_everywhere(everywhere)

    def _asked_everywhere(self, everywhere: Everywhere) -> Iterable[Metric]:
        counted, living = everywhere.counts(_ASKED, self._asked), everywhere.living(_ASKED, self._asked)
        for name, (text, _) in self.counters.items():
            yield CounterMetricFamily(f"ml_assets_{name}", text, value=counted[_COUNTER, name])
        for metric in self._process.collect():
            for sample in metric.samples:
                if metric.type == "counter":
                    value = counted[_COUNTER, sample.name]
                    yield CounterMetricFamily(metric.name, metric.documentation, value=value)
                else:
                    values = living[_GAUGE, sample.name]
                    # The server began when the first of its processes did.
                    value = min(values) if metric.name.endswith("start_time_seconds") else sum(values)
                    yield GaugeMetricFamily(metric.name, metric.documentation, value=value)
