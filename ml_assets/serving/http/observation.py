"""What is counted, logged and traced of requests once they are answered or refused."""

from collections.abc import Mapping
from pathlib import Path

from ml_assets.online.stores.records import EXPIRED, FRESH, MISSING, STALE
from ml_assets.serving.http.exchange import Exchange
from ml_assets.serving.http.observability.measured import Measured
from ml_assets.serving.http.observability.telemetry import Finished, telling, write_line
from ml_assets.serving.http.observability.tracing import Tracing
from ml_assets.serving.prediction.readiness import Readiness
from ml_assets.serving.rollout.challenger import CHAMPION
from ml_assets.serving.rollout.champions import Champions


class Observation:
    """Counts, logs and traces requests; used on the event loop only.

    Attributes:
        measured: the counts.
    """

    def __init__(self, champions: Champions, tracing: Tracing | None, shared: Path | None = None) -> None:
        """Begin to count.

        Args:
            shared: folder in which processes that serve together count; None for one process.
        """
        self.measured = Measured(shared)
        self._champions = champions
        self._tracing = tracing

    def posted(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Record a request that an endpoint answered or refused."""
        response, elsewhere = exchange.response, exchange.elsewhere
        served = exchange.served or elsewhere
        model = served.name if served is not None else self._only_name()
        self._count(exchange.endpoint.route, model, status, seconds)
        if exchange.counts is not None:
            self.measured.of_rows.add(exchange.counts)
        elif response is not None:
            self.measured.of_rows.count(model, response)
        if served is not None and status == 200:
            answers = self.measured.answered[model, served.version]
            answers.count += 1
            answers.seconds += seconds
            answers.last = exchange.at
        if self._tracing is None and not telling(status):
            return
        # Facts that are pushed are nobody's answer.
        roles = {CHAMPION} if served is not None and status == 200 else set()
        if response is not None:
            roles = response.roles()
        elif elsewhere is not None and elsewhere.roles:
            roles = elsewhere.roles
        self.tell(
            Finished(
                request_id=exchange.request_id,
                method=exchange.method,
                route=exchange.endpoint.route,
                status=status,
                milliseconds=seconds * 1e3,
                model=model,
                version=served.version if served is not None else "",
                role=",".join(sorted(roles)),
                key=exchange.key,
                parent=exchange.header(b"traceparent") or "",
            )
        )

    def got(self, route: str, name: str | None, status: int, seconds: float) -> str:
        """Count a request for information; returns the model that it was about, empty for none.

        Args:
            name: model that the path names; None if it names none.
        """
        name = self._only_name() if name is None else name
        model = name if self._champions.find(name) is not None else ""
        self._count(route, model, status, seconds)
        return model

    def tell(self, finished: Finished) -> None:
        """Log and trace a request."""
        write_line(finished)
        if self._tracing is not None:
            self._tracing.record(finished)

    def tell_versions(self) -> None:
        """Publish which versions serve, are tried and were refused."""
        gauges = {name: values for name, (_, values) in self.measured.gauges.items()}
        for served in self._champions:
            challenger = self._champions.challenger(served.name)
            gauges["model_version"][(served.name,)] = int(served.version)
            gauges["challenger_version"][(served.name,)] = 0 if challenger is None else int(challenger.version)
            refused = sum(name == served.name for name, _ in self._champions.refused)
            gauges["refused_versions"][(served.name,)] = refused

    def tell_behind(self, seconds: Mapping[str, float]) -> None:
        """Publish by model how far the lake is behind the log."""
        _, values = self.measured.gauges["log_behind_seconds"]
        values.update({(model,): each for model, each in seconds.items()})

    def tell_views(self, readiness: Readiness) -> None:
        """Publish how the views stand that models look up, and which models are ready."""
        gauges = {name: values for name, (_, _, values) in self.measured.view_gauges.items()}
        for name, view in readiness.states.items():
            for state in (FRESH, STALE, EXPIRED, MISSING):
                gauges["view_state"][name, state] = float(view.state == state)
            if view.complete_until is None:
                gauges["view_complete_until_seconds"].pop((name,), None)
            else:
                gauges["view_complete_until_seconds"][(name,)] = view.complete_until / 1e6
        for model, fault in readiness.faults.items():
            gauges["model_ready"][(model,)] = float(not fault)

    def _count(self, route: str, model: str, status: int, seconds: float) -> None:
        self.measured.answers[route, str(status)] += 1
        self.measured.seconds[model, route].add(seconds)

    def _only_name(self) -> str:
        """Return the model that a path without a name is about; empty if there are several."""
        served = list(self._champions)
        return served[0].name if len(served) == 1 else ""
