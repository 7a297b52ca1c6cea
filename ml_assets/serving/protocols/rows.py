"""The platform's own protocol: rows of a model's spine in, predictions out, with how fresh their features were."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, Field

from ml_assets.online.lookup import Fetched, FetchedRows, Found
from ml_assets.online.values.record import moment_of
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import PredictionRequest, PredictionResponse, SpineRows
from ml_assets.serving.protocols.adapter import JSON, DescribedModel, HttpBinding, Interface, RequestProtocol
from ml_assets.serving.protocols.contribution_models import contributions
from ml_assets.serving.protocols.fields import ABSENT, Closed, example_row, list_of, output_fields, record, row_record
from ml_assets.serving.protocols.json_body import read_json
from ml_assets.serving.rollout.challenger import CHAMPION

Role = Literal["champion", "canary", "fallback"]


class FeatureAge(Closed):
    """How fresh a view's stored features were."""

    state: Literal["fresh", "unseen", "stale", "expired", "missing"]
    age_seconds: float | None
    complete_until: AwareDatetime | None


class RowProtocol(RequestProtocol):
    """JSON: `rows` with the columns that the model declares, and whether their contributions are wanted."""

    http = HttpBinding(
        paths=("/v1/models/{model}/predict", "/v1/models/{model}/versions/{version}/predict"),
        tag="v1",
        media_types=(JSON,),
        at_once=4 << 10,
        slow=b'"contributions"',  # they take milliseconds
    )

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse the body; its rows are validated by what the model declares."""
        request = read_json(body)
        known = ("rows", "contributions", *(["as_of"] if self.limits.replay else []))
        for name in request:
            if name not in known:
                raise BadRequest(f"the body must hold {', '.join(known)} and not {name[:60]!r}")
        wanted = request.get("contributions", False)
        if type(wanted) is not bool:
            raise BadRequest("contributions: must be true or false")
        return PredictionRequest(SpineRows(request.get("rows"), request.get("as_of")), contributions=wanted)

    def write(self, response: PredictionResponse) -> bytes:
        """Render each row's prediction with the age of its features, and who answered where not all are the same."""
        predictions = response.by_row()
        for row, ages in zip(predictions, _ages_by_row(response.fetched, response.at), strict=True):
            row["features"] = ages
        for part in response.parts:
            for place, at in enumerate(range(len(predictions)) if part.rows is None else part.rows):
                if part.served is not response.champion:
                    predictions[at].update(version=part.served.version, role=part.role)
                if part.contributions is not None:
                    predictions[at]["contributions"] = part.contributions[place]
        answer = {
            "model": response.champion.name,
            "version": response.champion.version,
            "role": CHAMPION,
            "request_id": response.request_id,
            "as_of": moment_of(response.at),
            "predictions": predictions,
        }
        if response.fallback:
            answer["fallback"] = response.fallback
        return orjson.dumps(answer)

    def describe(self, model: DescribedModel) -> Interface | None:
        """Describe a row by the fields that the model declares."""
        declared = model.declared
        if declared is None:
            return None
        replay, name = self.limits.replay, model.name
        request: dict[str, Any] = {"rows": list_of(row_record(f"{name}_row", declared.fields), self.limits.rows)}
        request |= {"as_of": AwareDatetime} if replay else {}
        example = {"rows": [example_row(declared.fields)]} | ({"as_of": "2024-01-31T12:00:00Z"} if replay else {})
        return Interface(
            summary=f"Predict with {name}",
            description="A row holds its key, entities and what features read of it; the server looks the other "
            "features up.",
            request=record(f"{name}_rows", request, contributions=(bool, False)),
            example=example | {"contributions": False},
            response=_response(model, [view.name for view in declared.views if view.table is not None]),
            refusals=(400, 404, 408, 409, 413, 415, 422, 503),
        )


def _ages_by_row(rows: Sequence[Fetched], at: int) -> Iterator[Any]:
    """Yield of each row how fresh its features were; of many rows each view of an entity is rendered once."""
    if not isinstance(rows, FetchedRows) or not rows.views:
        return (_ages(fetched, at) for fetched in rows)
    rendered = [view.by_row([_rendered_age(found, at) for found in view.found]) for view in rows.views]
    return (orjson.Fragment("{" + ",".join(of_row) + "}") for of_row in zip(*rendered, strict=True))


def _rendered_age(found: Found, at: int) -> str:
    view, state, _, known_at, _, complete_until = found
    return orjson.dumps({view: _age(state, known_at, complete_until, at)})[1:-1].decode()


def _ages(fetched: Fetched, at: int) -> dict[str, Any]:
    return {
        view: _age(state, fetched.known_at[view], fetched.complete_until[view], at)
        for view, state in fetched.states.items()
    }


def _age(state: str, known_at: int | None, complete_until: int | None, at: int) -> dict[str, Any]:
    return {
        "state": state,
        "age_seconds": None if known_at is None else (at - known_at) / 1e6,
        "complete_until": _moment(complete_until),
    }


@lru_cache(maxsize=1024)
def _moment(stored: int | None) -> datetime | None:
    """Return a moment as JSON is written of it; the same stands in many answers."""
    return None if stored is None else moment_of(stored)


def _response(model: DescribedModel, views: list[str]) -> type[BaseModel]:
    name = model.name
    prediction = record(
        f"{name}_row_prediction",
        {**output_fields(model.outputs), "features": record(f"{name}_ages", dict.fromkeys(views, FeatureAge))},
        contributions=(contributions(model), ABSENT),
        version=(str, ABSENT),
        role=(Role, ABSENT),
    )
    return record(
        f"{name}_row_predictions",
        {
            "model": Literal[name],
            "version": str,
            "role": Role,
            "request_id": str,
            "as_of": AwareDatetime,
            "predictions": Annotated[list[prediction], Field(min_length=1)],
        },
        fallback=(str, ABSENT),
    )
