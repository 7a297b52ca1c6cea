"""Facts that are pushed over HTTP, and are in the features of their entities when the response is there."""

from collections.abc import Mapping
from typing import Annotated, Literal

import orjson
from pydantic import AwareDatetime, Field

from ml_assets.features.errors import FeatureError
from ml_assets.online.push import PushError, push_facts
from ml_assets.online.stores.protocol import NoBuild, OnlineStore, StoreUnavailable
from ml_assets.serving.declared import OnlineView
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.exchange import Exchange
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.prediction.messages import PredictionResponse
from ml_assets.serving.prediction.request_rows import UNREADABLE, read_as_of
from ml_assets.serving.protocols.adapter import Interface
from ml_assets.serving.protocols.fields import example_row, list_of, record, row_record
from ml_assets.serving.protocols.json_body import read_json


class PushHandler:
    """Takes facts of the views that are online.

    Args:
        store: None where no view is online.
    """

    def __init__(self, views: Mapping[str, OnlineView], store: OnlineStore | None, limits: Limits) -> None:
        self._views = views
        self._store = store
        self._limits = limits

    def begin(self, exchange: Exchange) -> bytes:
        """Push the facts of a request; raises BadRequest."""
        name = exchange.endpoint.name
        if name not in self._views or self._store is None:
            there = ", ".join(self._views) or "none"
            raise BadRequest(f"view {name[:60]!r} is not online; there are {there}", 404)
        exchange.require_json()
        rows, at = self._read(exchange)
        try:
            done = push_facts(self._store, self._views[name].view, rows, arrived_at=at)
        except (PushError, FeatureError) as error:
            raise BadRequest(str(error), UNREADABLE) from error
        except NoBuild as error:
            raise BadRequest(str(error), 409) from error
        except (StoreUnavailable, RuntimeError) as error:
            raise BadRequest(f"the facts are not taken, try again: {error}", 503) from error
        return orjson.dumps({"view": name, "rows": done.rows, "entities": done.entities, "seq": done.seq})

    def finish(self, exchange: Exchange, response: PredictionResponse) -> bytes:
        """Raise NotImplementedError: a push is answered at once, without a model."""
        raise NotImplementedError

    def _read(self, exchange: Exchange) -> tuple[list[dict], int]:
        request, replay = read_json(exchange.body), self._limits.replay
        known = ("rows", "as_of") if replay else ("rows",)
        for field in request:
            if field not in known:
                raise BadRequest(f"the body must hold {', '.join(known)} and not {field[:60]!r}")
        at = read_as_of(request.get("as_of")) if replay else exchange.at
        rows = request.get("rows")
        if not isinstance(rows, list) or not all(type(row) is dict for row in rows):
            raise BadRequest("rows: must be a list of objects")
        if not rows:
            raise BadRequest("rows: there is none")
        if len(rows) > self._limits.rows:
            raise BadRequest(f"{len(rows)} rows are more than {self._limits.rows}: send fewer at once", 413)
        return rows, at


def describe_push(view: str, online: OnlineView, limits: Limits) -> Interface:
    """Describe requests that push facts of a view."""
    moment, example = ({"as_of": AwareDatetime}, {"as_of": "2024-01-31T12:00:00Z"}) if limits.replay else ({}, {})
    facts = list_of(row_record(f"{view}_fact", online.fields), limits.rows)
    count = Annotated[int, Field(ge=0)]
    return Interface(
        summary=f"Push facts to {view}",
        description="The features of the entities that the facts are about are up to date when the response is there.",
        request=record(f"{view}_facts", {"rows": facts, **moment}),
        example={"rows": [example_row(online.fields)], **example},
        response=record(f"{view}_pushed", {"view": Literal[view], "rows": count, "entities": count, "seq": count}),
        refusals=(400, 408, 409, 413, 415, 422, 503),
    )
