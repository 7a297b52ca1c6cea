"""From a request to the response, for every protocol: which version answers which rows, from which features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.scoring.predictor import Answer
from ml_assets.scoring_core.rows import InvalidRows
from ml_assets.serving.declared import Declarations, ServedModel
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.fallback import constant, stand_in
from ml_assets.serving.prediction.messages import Part, PredictionRequest, PredictionResponse, SpineRows
from ml_assets.serving.prediction.request_rows import read_as_of
from ml_assets.serving.prediction.row_model import RowModel
from ml_assets.serving.prediction.shared_features import Features, encode_features
from ml_assets.serving.rollout.challenger import CHAMPION, FALLBACK
from ml_assets.serving.rollout.champions import Served
from ml_assets.serving.rollout.choice import Choosing


@dataclass(slots=True)
class Question:
    """A request whose features are ready: what remains is to ask the models, together with other requests or alone."""

    response: PredictionResponse
    contributions: bool = False

    def predict(self) -> PredictionResponse:
        """Let each version predict its rows."""
        return self.finish([part.served.predictor.predict(part.matrix) for part in self.response.parts])

    def finish(self, answers: Sequence[Answer]) -> PredictionResponse:
        """Complete the response with the predictions of its parts, in their order; raises BadRequest."""
        for part, answer in zip(self.response.parts, answers, strict=True):
            part.answer = answer
            if self.contributions:
                try:
                    part.contributions = part.served.predictor.contributions(part.matrix)
                except InvalidRows as error:
                    raise BadRequest(str(error)) from error
        return self.response


class Answering:
    """Answers requests by the champions and what is declared of their models.

    Args:
        store: the online features; None where no view is online.
        most: rows of a request.
        replay: whether each request of spine rows carries its own moment, `as_of`.
    """

    def __init__(
        self,
        choosing: Choosing,
        declared: Declarations,
        store: OnlineStore | None,
        *,
        most: int,
        replay: bool,
    ) -> None:
        self._choosing = choosing
        self._most = most
        self._replay = replay
        self._unready = dict(declared.unready)
        self._models: dict[str, RowModel] = {}
        self._of_version: dict[tuple[str, str], RowModel] = {}
        for name, model in declared.models.items():
            try:
                self._models[name] = RowModel(model, store if any(view.table for view in model.views) else None)
            except ValueError as error:
                self._unready[name] = str(error)
        for model in declared.models.values():
            _refuse_incomplete(declared, model)

    def answer(self, request: PredictionRequest, request_id: str, at: int) -> PredictionResponse:
        """Answer a request at once, in this thread.

        Args:
            request_id: identifies it in the log.
            at: the moment of the request, microseconds.

        Raises:
            BadRequest: it cannot be answered as it is.
        """
        return self.ask(request, self.find(request.model, request.version), request_id, at).predict()

    def find(self, model: str, version: str | None, label: str | None = None) -> Served:
        """Return the version that answers requests for a model, an empty name standing for the only one.

        Args:
            label: alias of the version; None for none.

        Raises:
            BadRequest: it is not served here (404).
        """
        if label not in (None, CHAMPION):
            raise BadRequest(f"label {label[:20]!r} is not served; there is {CHAMPION}", 404)
        return self._choosing.named(model, version) if model else self._choosing.only()

    def ask(self, request: PredictionRequest, champion: Served, request_id: str, at: int) -> Question:
        """Validate a request and gather its features into a question.

        Args:
            champion: what `find` gives for its model and version.
            at: the moment of the request, microseconds.

        Raises:
            BadRequest: it cannot be answered as it is.
        """
        try:
            if isinstance(request.rows, SpineRows):
                return self._ask_rows(request, request.rows, champion, request_id, at)
            matrix = request.rows.encode(champion.predictor)
        except InvalidRows as error:
            raise BadRequest(str(error)) from error
        if len(matrix) > self._most:
            raise BadRequest(f"{len(matrix)} rows are more than {self._most}: send fewer at once", 413)
        if len(matrix) == 0:
            raise BadRequest("there is no row to predict")
        parts = [Part(champion, CHAMPION, None, matrix)]
        response = PredictionResponse(request, request_id, at, champion, parts, request.rows.by_row)
        return Question(response, request.contributions)

    def ready(self, name: str) -> bool:
        """Return whether rows of a model's spine can be predicted."""
        return name in self._models

    def _ask_rows(
        self, request: PredictionRequest, rows: SpineRows, champion: Served, request_id: str, at: int
    ) -> Question:
        model = self._row_model(champion)
        at = read_as_of(rows.as_of) if self._replay else at
        given = model.read(rows.rows, most=self._most)
        features, fetched, shortfall = model.required_features(given, at)
        if shortfall:
            part, features = self._fall_back(model, champion, given, features, at, shortfall)
            response = PredictionResponse(
                request, request_id, at, champion, [part], lambda: features, given, fetched, shortfall
            )
            # The features of what answers are not those that contributions are described of.
            return Question(response)
        parts = [
            Part(served, role, own, encode_features(served.predictor, _picked(features, own)))
            for served, role, own in self._shares(model, champion, given, pinned=request.version is not None)
        ]
        response = PredictionResponse(request, request_id, at, champion, parts, lambda: features, given, fetched)
        return Question(response, request.contributions)

    def _fall_back(
        self,
        model: RowModel,
        champion: Served,
        given: Sequence[Mapping[str, Any]],
        features: Sequence[Features],
        at: int,
        shortfall: str,
    ) -> tuple[Part, Sequence[Features]]:
        """Return who answers in place of a model, and the features that it answers from.

        Raises:
            BadRequest: nobody does (503).
        """
        require = model.declared.serving.require
        if require is None or require.fallback is None:
            raise BadRequest(shortfall, 503)
        if require.fallback.constant is not None:
            answering = constant(champion, require.fallback.constant)
        else:
            other = self.find(require.fallback.model, None)
            answering = stand_in(champion.name, other)
            features, _, further = self._row_model(other).required_features(given, at)
            if further:
                raise BadRequest(f"{shortfall}; nor can {other.name} answer in its place: {further}", 503)
        return Part(answering, FALLBACK, None, encode_features(answering.predictor, features)), features

    def _row_model(self, champion: Served) -> RowModel:
        model, name = self._models.get(champion.name), champion.name
        if model is None:
            reason = self._unready.get(name, "it is not declared in this project")
            raise BadRequest(
                f"{name} cannot be asked about rows: {reason}; /v2/models/{name}/infer takes features", 409
            )
        if (name, champion.version) not in self._of_version:
            self._of_version[name, champion.version] = _as_trained(model, champion)
        return self._of_version[name, champion.version]

    def _shares(
        self, model: RowModel, champion: Served, given: Sequence[Mapping[str, Any]], *, pinned: bool
    ) -> list[tuple[Served, str, list[int] | None]]:
        """Return which version answers, in which role, which rows; None for all of them."""
        choices = self._choosing.by_row(champion, model.declared, given, pinned)
        tried = next((served for served, _ in choices or () if served is not champion), None)
        # A challenger of other features than the champion's answers nobody.
        if choices is None or tried is None or model.lacking(tried.predictor.model):
            return [(champion, CHAMPION, None)]
        sides: dict[str, tuple[Served, str, list[int]]] = {
            served.version: (served, role, []) for served, role in choices
        }
        for at, (served, _) in enumerate(choices):
            sides[served.version][2].append(at)
        return list(sides.values())


def _refuse_incomplete(declared: Declarations, model: ServedModel) -> None:
    """Raise ValueError where what a model falls back to is not served, or reads more than its requests give."""
    require = model.serving.require
    if require is None or require.fallback is None or not require.fallback.model:
        return
    name = require.fallback.model
    other = declared.models.get(name)
    if other is None:
        raise ValueError(f"{model.name} falls back to {name}: {declared.unready.get(name, 'serve that model too')}")
    given = {field.name for field in model.fields}
    if lacking := [field.name for field in other.fields if field.name not in given]:
        raise ValueError(f"{model.name} falls back to {name}, which reads {lacking}: its own requests do not give that")


def _picked(features: Sequence[Features], rows: Sequence[int] | None) -> Sequence[Features]:
    return features if rows is None else [features[at] for at in rows]


def _as_trained(declared: RowModel, champion: Served) -> RowModel:
    trained = champion.predictor.model
    model = declared.trained_on(trained.inputs)
    lacking = model.lacking(trained)
    if lacking:
        raise BadRequest(
            f"version {champion.version} of {champion.name} was trained on features {lacking[:10]}, which its "
            "declaration does not give as they were then: train it again",
            409,
        )
    return model
