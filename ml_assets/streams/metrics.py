"""What a connector counts, as metrics of Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ml_assets.streams.state import StreamState


class StreamMetrics(Collector):
    """The last state of one connector.

    Attributes:
        state: set as it changes; None before the stream was read.
    """

    def __init__(self) -> None:
        self.state: StreamState | None = None

    def serve(self, port: int) -> int:
        """Answer `/metrics` at a port of 127.0.0.1, any free one for 0, in a thread; gives the port."""
        registry = CollectorRegistry()
        registry.register(self)
        server, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
        return server.server_port

    def collect(self) -> Iterator[Metric]:
        state = self.state
        if state is None:
            return
        messages = CounterMetricFamily(
            "ml_assets_stream_messages",
            "Messages that count or are in quarantine, since the first.",
            labels=("stream",),
        )
        messages.add_metric([state.name], state.messages)
        yield messages
        yield _by_table("rows", "Rows pushed and taken back since the start.", state.name, state.rows)
        yield _by_table(
            "refused", "Rows and messages that went to quarantine since the start.", state.name, state.refused
        )
        yield _gauge(
            "lag_messages", "Messages that wait; absent where it is not known.", state.name, state.lag_messages
        )
        yield _gauge(
            "lag_seconds", "How long ago the newest message that counts was sent, 0 where none waits; absent where it "
            "is not known.", state.name, state.lag_seconds,
        )  # fmt: skip
        yield _gauge(
            "reading", "1 while messages are read, 0 while the store or the stream is away.", state.name, not state.away
        )


def _by_table(name: str, text: str, stream: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"ml_assets_stream_{name}", text, labels=("stream", "table"))
    for table, count in counts.items():
        family.add_metric([stream, table], count)
    return family


def _gauge(name: str, text: str, stream: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(f"ml_assets_stream_{name}", text, labels=("stream",))
    if value is not None:
        family.add_metric([stream], value)
    return family
