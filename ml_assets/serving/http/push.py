"""Facts that are pushed over HTTP, and are in the features of their entities when the response is there."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, Field

from ml_assets.features.errors import FeatureError
from ml_assets.online.push import PushError, prepare_facts
from ml_assets.online.stores.errors import NoBuild, OutcomeUnknown, StoreUnavailable
from ml_assets.online.stores.protocol import OnlineStore, PreparedPush
from ml_assets.online.values.record import moment_of
from ml_assets.serving.contract_gate import pushed_table
from ml_assets.serving.declared import OnlineTable, OnlineView
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.exchange import Exchange
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.prediction.messages import PredictionResponse
from ml_assets.serving.prediction.request_rows import UNREADABLE, read_as_of
from ml_assets.serving.protocols.adapter import JSON, Interface
from ml_assets.serving.protocols.fields import ABSENT, Closed, example_row, list_of, record, row_record
from ml_assets.serving.protocols.json_body import read_json

_KEY = b"idempotency-key"
_LONGEST_KEY = 255
_COMPLETE = (AwareDatetime, "Moment up to which the facts are known to be complete, of each view.")
REFUSALS = (BadRequest, PushError, FeatureError, NoBuild, StoreUnavailable, RuntimeError)


class FactsHandler(ABC):
    """Takes facts: it prepares what they change, which is made alone or with others."""

    def __init__(self, store: OnlineStore | None, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    @abstractmethod
    def prepare(self, exchange: Exchange) -> PreparedPush[bytes]:
        """Prepare what a request pushes, and the body of its answer; raises BadRequest, PushError."""

    def begin(self, exchange: Exchange) -> bytes:
        """Push the facts of a request; raises BadRequest."""
        try:
            push = self.prepare(exchange)
            assert self._store is not None  # nothing is prepared without it
            return push.answer(self._store.change(push.decide, push.arrived_at))
        except REFUSALS as error:
            raise refusal(error) from error

    def finish(self, exchange: Exchange, response: PredictionResponse) -> bytes:
        """Raise NotImplementedError: a push is answered at once, without a model."""
        raise NotImplementedError


class PushHandler(FactsHandler):
    """Takes facts of the views that are online.

    Args:
        store: None where no view is online.
    """

    def __init__(self, views: Mapping[str, OnlineView], store: OnlineStore | None, limits: Limits) -> None:
        super().__init__(store, limits)
        self._views = views

    def prepare(self, exchange: Exchange) -> PreparedPush[bytes]:
        name = exchange.endpoint.name
        if name not in self._views or self._store is None:
            there = ", ".join(self._views) or "none"
            raise BadRequest(f"view {name[:60]!r} is not online; there are {there}", 404)
        exchange.require_media_type((JSON,))
        rows, at = self._read(exchange)
        push = prepare_facts(self._views[name].view, rows, arrived_at=at, api_key=exchange.key or None)

        def answer(last: Sequence[int]) -> bytes:
            done = push.answer(last)
            body = {"view": name, "rows": done.rows, "entities": done.entities, "seq": done.seq}
            return orjson.dumps(body | {"complete_until": moment_of(done.complete_until)})

        return PreparedPush(push.decide, push.arrived_at, answer)

    def _read(self, exchange: Exchange) -> tuple[list[dict], int]:
        request, at = _body(exchange, ("rows",), self._limits)
        rows = _rows(request, "rows", self._limits)
        if not rows:
            raise BadRequest("rows: there is none")
        return rows, at


class TablePushHandler(FactsHandler):
    """Takes rows of tables, for every view of them that is online.

    Args:
        store: None where no view is online.
    """

    def __init__(self, tables: Mapping[str, OnlineTable], store: OnlineStore | None, limits: Limits) -> None:
        super().__init__(store, limits)
        self._tables = {name: pushed_table(each) for name, each in tables.items()}

    def prepare(self, exchange: Exchange) -> PreparedPush[bytes]:
        table = self._tables.get(exchange.endpoint.name)
        if table is None or self._store is None:
            there = ", ".join(self._tables) or "none"
            raise BadRequest(f"no view of table {exchange.endpoint.name[:60]!r} is online; there are {there}", 404)
        exchange.require_media_type((JSON,))
        request, at = _body(exchange, ("rows", "retract", "complete_until"), self._limits)
        rows, retract = (_rows(request, part, self._limits) for part in ("rows", "retract"))
        until = _complete_until(request)
        if not rows and not retract and until is None:
            raise BadRequest("rows: there is none, none to retract, and no complete_until")
        push = table.prepare(
            rows, arrived_at=at, retract=retract, key=_idempotency_key(exchange), complete_until=until, now=exchange.at,
            api_key=exchange.key or None,
        )  # fmt: skip

        def answer(last: Sequence[int]) -> bytes:
            done = push.answer(last)
            refused = [{"row": each.row, "rules": each.rules, "columns": each.columns} for each in done.refused]
            body = {"table": table.table, "rows": done.rows, "retracted": done.retracted, "refused": refused}
            moments = {view: moment_of(until) for view, until in done.complete_until.items()}
            return orjson.dumps(
                body | {"views": dict(done.views), "repeated": done.repeated, "complete_until": moments}
            )

        return PreparedPush(push.decide, push.arrived_at, answer)


def refusal(error: Exception) -> BadRequest:
    """Return what a client gets for one of REFUSALS."""
    if isinstance(error, BadRequest):
        return error
    if isinstance(error, PushError | FeatureError):
        return BadRequest(str(error), UNREADABLE)
    if isinstance(error, NoBuild):
        return BadRequest(str(error), 409)
    if isinstance(error, OutcomeUnknown):
        return BadRequest(f"whether the facts are taken is not known: {error}", 503)
    return BadRequest(f"the facts are not taken, try again: {error}", 503)


def _idempotency_key(exchange: Exchange) -> str | None:
    key = exchange.header(_KEY)
    if key is not None and not 0 < len(key) <= _LONGEST_KEY:
        raise BadRequest(f"Idempotency-Key: must have 1 to {_LONGEST_KEY} characters")
    return key


def _complete_until(request: dict) -> int | None:
    return read_as_of(request["complete_until"], "complete_until") if "complete_until" in request else None


def _body(exchange: Exchange, parts: tuple[str, ...], limits: Limits) -> tuple[dict, int]:
    """Return the request and its moment."""
    request = read_json(exchange.body)
    known = (*parts, "as_of") if limits.replay else parts
    for field in request:
        if field not in known:
            raise BadRequest(f"the body must hold {', '.join(known)} and not {field[:60]!r}")
    return request, read_as_of(request.get("as_of")) if limits.replay else exchange.at


def _rows(request: dict, part: str, limits: Limits) -> list[dict]:
    optional = part == "retract" or "retract" in request or "complete_until" in request
    rows = request.get(part, [] if optional else None)
    if not isinstance(rows, list) or not all(type(row) is dict for row in rows):
        raise BadRequest(f"{part}: must be a list of objects")
    if len(rows) > limits.rows:
        raise BadRequest(f"{len(rows)} rows are more than {limits.rows}: send fewer at once", 413)
    return rows


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
        response=record(
            f"{view}_pushed",
            {"view": Literal[view], "rows": count, "entities": count, "seq": count, "complete_until": _COMPLETE},
        ),
        refusals=(400, 408, 409, 413, 415, 422, 503),
    )


class QuarantinedRow(Closed):
    """A row that is in quarantine now."""

    row: int = Field(ge=0, description="Its place among the rows of the request, from 0.")
    rules: str = Field(description="What it breaks.")
    columns: str = Field(description="The columns that those rules look at.")


def describe_table_push(table: OnlineTable, limits: Limits) -> Interface:
    """Describe requests that push rows of a table."""
    name = table.table.replace("/", "_")
    moment, example = ({"as_of": AwareDatetime}, {"as_of": "2024-01-31T12:00:00Z"}) if limits.replay else ({}, {})
    # A row that breaks a rule is answered and quarantined, so the description refuses none.
    row = dict[str, Any]
    count = Annotated[int, Field(ge=0)]
    taken = {"rows": Annotated[list[row], Field(max_length=limits.rows)], **moment}
    request = record(
        f"{name}_rows",
        taken,
        retract=(Annotated[list[row], Field(max_length=limits.rows)], ABSENT),
        complete_until=(AwareDatetime, ABSENT),
    )
    response = record(
        f"{name}_rows_pushed",
        {
            "table": Literal[table.table], "rows": count, "retracted": count, "refused": list[QuarantinedRow],
            "views": dict[str, count], "repeated": bool, "complete_until": (dict[str, AwareDatetime], _COMPLETE[1]),
        },
    )  # fmt: skip
    columns = ", ".join(f"{field.name} ({field.kind})" for field in table.fields)
    return Interface(
        summary=f"Push rows of table {table.table}",
        description="Every view of the table is up to date when the response is there. A row that breaks the table's "
        "contract is in its quarantine, and named with the rules. `retract` takes rows back, before others are added: "
        "then one wrong row refuses all. `complete_until` says that with this request, which may have no rows, all "
        "facts have been pushed that were known by then. "
        f"With the header Idempotency-Key a retry counts once. The columns of a row: {columns}.",
        request=request,
        example={"rows": [example_row(table.fields)], **example},
        response=response,
        refusals=(400, 408, 409, 413, 415, 422, 503),
    )
