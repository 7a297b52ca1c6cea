"""A span of OpenTelemetry for each request, where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says whom to send it to."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ml_assets.serving.http.observability.telemetry import Finished

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Spans of finished requests, sent in batches by a thread of the exporter's own.

    Names are OpenTelemetry's semantic conventions for HTTP servers where there is one.

    Args:
        exporter: takes the spans.
        service: the name under which they are shown.
        clock: nanoseconds since the epoch, read when a request is finished; no answer depends on it.
    """

    def __init__(
        self, exporter: "SpanExporter", *, service: str = "ml-assets", clock: Callable[[], int] = time.time_ns
    ) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._clock = clock
        self._kind, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)
        self._extract = TraceContextTextMapPropagator().extract
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("ml_assets.serving")

    def record(self, finished: Finished) -> None:
        """Record the span of a request, which is sent later."""
        ended = self._clock()
        span = self._tracer.start_span(
            f"{finished.method} {finished.route}",
            context=self._extract({"traceparent": finished.parent}) if finished.parent else None,
            kind=self._kind,
            attributes=_attributes(finished),
            start_time=ended - round(finished.milliseconds * 1e6),
        )
        if finished.status >= 500:
            span.set_status(self._failed)
        span.end(end_time=ended)

    def close(self) -> None:
        """Send the spans that are left."""
        self._provider.shutdown()


def open_tracing(environment: Mapping[str, str]) -> Tracing | None:
    """Open the tracing that OpenTelemetry's variables configure; None, at no cost, if they name no endpoint.

    Raises:
        ValueError: an endpoint is named and the exporter is not installed.
    """
    named = next((name for name in ENDPOINTS if environment.get(name)), None)
    if named is None or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ValueError(
            f"{named} is set, and the exporter is not installed: install the extra `ml_assets[otel]` or unset it"
        ) from error
    return Tracing(OTLPSpanExporter(), service=environment.get("OTEL_SERVICE_NAME") or "ml-assets")


def _attributes(finished: Finished) -> dict[str, Any]:
    named = {
        "http.request.method": finished.method,
        "http.route": finished.route,
        "http.response.status_code": finished.status,
        "ml_assets.request_id": finished.request_id,
        "ml_assets.model": finished.model,
        "ml_assets.version": finished.version,
        "ml_assets.role": finished.role,
        "ml_assets.key": finished.key,
    }
    return {name: value for name, value in named.items() if value != ""}
