"""Requests for predictions, by any protocol."""

from ml_assets.serving.http.exchange import Exchange
from ml_assets.serving.prediction.answering import Answering, Question
from ml_assets.serving.prediction.messages import PredictionResponse
from ml_assets.serving.protocols.adapter import HttpBinding, RequestProtocol


class ProtocolHandler:
    """Answers the requests of one protocol."""

    def __init__(self, answering: Answering, protocol: RequestProtocol) -> None:
        self._answering = answering
        self._protocol = protocol

    def finish(self, exchange: Exchange, response: PredictionResponse) -> bytes:
        """Render the response; raises BadRequest."""
        body = self._protocol.write(response)
        exchange.response = response
        exchange.media_type = self._protocol.media_type(response.request)
        return body


class PredictionHandler(ProtocolHandler):
    """Answers requests whose path names the model."""

    def __init__(self, answering: Answering, protocol: RequestProtocol, binding: HttpBinding) -> None:
        super().__init__(answering, protocol)
        self._binding = binding

    def begin(self, exchange: Exchange) -> Question:
        """Read the request and gather its features; raises BadRequest."""
        endpoint, binding = exchange.endpoint, self._binding
        served = exchange.served = self._answering.find(endpoint.name, endpoint.version, endpoint.label)
        if binding.media_types:
            exchange.require_media_type(binding.media_types)
        parameters = _carried(binding, exchange) if binding.parameters else {}
        request = self._protocol.read(exchange.body, parameters)
        request.model, request.version = endpoint.name, endpoint.version
        if binding.version_header is not None:
            exchange.reply_headers.append((binding.version_header, served.version.encode()))
        return self._answering.ask(request, served, exchange.request_id, exchange.at)

    def finish(self, exchange: Exchange, response: PredictionResponse) -> bytes:
        """Render the response, with the headers that carry what stands beside it; raises BadRequest."""
        body = super().finish(exchange, response)
        for name, value in self._protocol.reply_parameters(response.request).items():
            exchange.reply_headers.append((self._binding.parameters[name], value.encode()))
        return body


class MessageHandler(ProtocolHandler):
    """Answers requests that name the model themselves."""

    def begin(self, exchange: Exchange) -> Question:
        """Read the request and gather its features; raises BadRequest."""
        request = self._protocol.read(exchange.body, {})
        served = exchange.served = self._answering.find(request.model, request.version)
        return self._answering.ask(request, served, exchange.request_id, exchange.at)


def _carried(binding: HttpBinding, exchange: Exchange) -> dict[str, str]:
    """Return the protocol's parameters that headers carry."""
    carried, headers = {}, exchange.headers
    for name, header in binding.parameters.items():
        value = headers.get(header)
        if value is not None:
            carried[name] = value.decode("latin-1")
    return carried
