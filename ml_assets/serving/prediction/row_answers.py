"""Requests about rows of a spine: keys in, predictions out, with how fresh their features were; and facts that are
pushed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from ml_assets.features.errors import FeatureError
from ml_assets.online.lookup import Fetched
from ml_assets.online.push import PushError, push_facts
from ml_assets.online.stores.protocol import NoBuild, OnlineStore, StoreUnavailable
from ml_assets.online.values.record import microseconds, moment_of
from ml_assets.scoring.errors import InvalidRows
from ml_assets.scoring.predictor import Answer
from ml_assets.serving.declared import Declarations
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.exchange import Exchange, Question, Scored
from ml_assets.serving.prediction.feature_answers import by_row, require_json
from ml_assets.serving.prediction.request_rows import UNREADABLE, read_moment
from ml_assets.serving.prediction.row_model import RowModel
from ml_assets.serving.protocols.open_inference import read_json
from ml_assets.serving.rollout.challenger import CHAMPION
from ml_assets.serving.rollout.champions import Served
from ml_assets.serving.rollout.choice import Choosing


class RowAnswers:
    """Answers by what is declared of a model; features are looked up as of the moment of the request.

    Args:
        store: the online features; None where no view is online.
        most: rows of a request.
        replay: whether each request says its own moment, `as_of`.
    """

    def __init__(
        self, choosing: Choosing, declared: Declarations, store: OnlineStore | None, *, most: int, replay: bool
    ) -> None:
        self._choosing = choosing
        self._store = store
        self._views = declared.online
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

    def predict(self, asked: Exchange) -> Question:
        """Rows in, predictions out; raises BadRequest."""
        champion = asked.served = self._choosing.named(asked.path.name, asked.path.version)
        model = self._row_model(champion)
        request = self._request(asked, ("contributions",))
        explained = request.get("contributions", False)
        if type(explained) is not bool:
            raise BadRequest("contributions: must be true or false")
        given = model.read(request.get("rows"), most=self._most)
        features, fetched = model.features(given, asked.at)
        shares = self._shares(asked, model, champion, given)
        try:
            parts = [
                (served, served.predictor.encode_features(features if rows is None else [features[at] for at in rows]))
                for served, _, rows in shares
            ]
        except InvalidRows as error:
            raise BadRequest(str(error)) from error

        def finish(answers: list[Answer]) -> bytes:
            scored: list[Scored] = [None] * len(given)
            predictions: list[dict[str, Any]] = [None] * len(given)
            for (served, role, rows), (_, matrix), answer in zip(shares, parts, answers, strict=True):
                asked.missing += np.count_nonzero(matrix != matrix)
                asked.rows[served.name, served.version] = len(matrix)
                told = by_row(answer)
                for at, own in zip(range(len(given)) if rows is None else rows, told, strict=True):
                    scored[at] = Scored(served, role, features[at], own, given[at], fetched[at])
                    predictions[at] = {**own, "features": _ages(fetched[at], asked.at)}
                    if served is not champion:
                        predictions[at].update(version=served.version, role=role)
                if explained:
                    why = _contributions(served, matrix)
                    for at, own in zip(range(len(given)) if rows is None else rows, why, strict=True):
                        predictions[at]["contributions"] = own
            asked.scored = scored
            return orjson.dumps(
                {
                    "model": champion.name,
                    "version": champion.version,
                    "role": CHAMPION,
                    "request_id": asked.request_id,
                    "as_of": moment_of(asked.at),
                    "predictions": predictions,
                }
            )

        return Question(parts, finish)

    def push(self, asked: Exchange) -> bytes:
        """Facts in, how many of how many entities out; raises BadRequest."""
        name = asked.path.name
        if name not in self._views or self._store is None:
            there = ", ".join(self._views) or "none"
            raise BadRequest(f"view {name[:60]!r} is not online; there are {there}", 404)
        rows = self._request(asked, ()).get("rows")
        if not isinstance(rows, list) or not all(type(row) is dict for row in rows):
            raise BadRequest("rows: must be a list of objects")
        if not rows:
            raise BadRequest("rows: there is none")
        if len(rows) > self._most:
            raise BadRequest(f"{len(rows)} rows are more than {self._most}: send fewer at once", 413)
        try:
            done = push_facts(self._store, self._views[name].view, rows, arrived_at=asked.at)
        except (PushError, FeatureError) as error:
            raise BadRequest(str(error), UNREADABLE) from error
        except NoBuild as error:
            raise BadRequest(str(error), 409) from error
        except (StoreUnavailable, RuntimeError) as error:
            raise BadRequest(f"the facts are not taken, try again: {error}", 503) from error
        return orjson.dumps({"view": name, "rows": done.rows, "entities": done.entities, "seq": done.seq})

    def ready(self, name: str) -> bool:
        """Whether a model can be asked about rows."""
        return name in self._models

    def _row_model(self, champion: Served) -> RowModel:
        model, name = self._models.get(champion.name), champion.name
        if model is None:
            reason = self._unready.get(name, "it is not declared in this project")
            raise BadRequest(
                f"{name} cannot be asked about rows: {reason}; /v2/models/{name}/infer takes features", 409
            )
        if (name, champion.version) not in self._of_version:
            self._of_version[name, champion.version] = self._as_trained(model, champion)
        return self._of_version[name, champion.version]

    @staticmethod
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

    def _request(self, asked: Exchange, optional: Sequence[str]) -> dict[str, Any]:
        require_json(asked)
        request = read_json(asked.body)
        known = ("rows", *optional, *(["as_of"] if self._replay else []))
        strange = [name for name in request if name not in known]
        if strange:
            raise BadRequest(f"the body must hold {', '.join(known)} and not {strange[0][:60]!r}")
        if self._replay:
            try:
                asked.at = microseconds(read_moment(request.get("as_of")))
            except ValueError as error:
                raise BadRequest(f"as_of: must be {error}") from error
        return request

    def _shares(
        self, asked: Exchange, model: RowModel, champion: Served, given: Sequence[dict[str, Any]]
    ) -> list[tuple[Served, str, list[int] | None]]:
        """Who answers, in which role, which rows; None for all of them."""
        choices = self._choosing.by_row(champion, model.declared, given, asked.path.version is not None)
        tried = next((served for served, _ in choices or () if served is not champion), None)
        # A challenger of other features than the champion's answers nobody.
        if tried is None or model.lacking(tried.predictor.model):
            return [(champion, CHAMPION, None)]
        sides = {served.version: (served, role, []) for served, role in choices}
        for at, (served, _) in enumerate(choices):
            sides[served.version][2].append(at)
        return list(sides.values())


def _contributions(served: Served, matrix: np.ndarray) -> list[dict[str, Any]]:
    try:
        return served.predictor.contributions(matrix)
    except InvalidRows as error:
        raise BadRequest(str(error)) from error


def _ages(found: Fetched, at: int) -> dict[str, Any]:
    return {
        view: {
            "state": state,
            "age_seconds": None if found.known_at[view] is None else (at - found.known_at[view]) / 1e6,
        }
        for view, state in found.states.items()
    }
