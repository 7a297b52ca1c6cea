"""A request for predictions and the response to it, whatever protocol they came and go by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ml_assets.online.lookup import Fetched
from ml_assets.scoring.predictor import Answer, Predictor
from ml_assets.scoring_core.rows import InvalidRows
from ml_assets.serving.rollout.champions import Served


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Rows with every feature by name."""

    rows: Sequence[Mapping[str, Any]]

    def encode(self, predictor: Predictor) -> np.ndarray:
        """Encode rows as `RowEncoder.encode_rows` does."""
        return predictor.encode_rows(self.rows)

    def by_row(self) -> Sequence[Mapping[str, Any]]:
        """Return each row's features by name."""
        return self.rows


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """Columns of values by feature."""

    columns: Mapping[str, Sequence[Any] | np.ndarray]

    def encode(self, predictor: Predictor) -> np.ndarray:
        """Encode columns as `RowEncoder.encode_columns` does."""
        return predictor.encode_columns(self.columns)

    def by_row(self) -> Sequence[Mapping[str, Any]]:
        """Return each row's features by name."""
        plain = [values.tolist() if isinstance(values, np.ndarray) else values for values in self.columns.values()]
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*plain, strict=True)]


@dataclass(slots=True)
class FeatureLists:
    """Rows as lists of values, in the order of the model's features."""

    rows: Sequence[Any]
    named: list[dict[str, Any]] = field(default_factory=list)

    def encode(self, predictor: Predictor) -> np.ndarray:
        """Encode rows as `RowEncoder.encode_rows` does."""
        names = [feature.name for feature in predictor.features]
        for at, row in enumerate(self.rows):
            if type(row) is not list or len(row) != len(names):
                raise InvalidRows(f"row {at} must be a list of {len(names)} values, in the order of {names[:50]}")
        self.named = [dict(zip(names, row, strict=True)) for row in self.rows]
        return predictor.encode_features(self.named)

    def by_row(self) -> Sequence[Mapping[str, Any]]:
        """Return each row's features by name, once they are encoded."""
        return self.named


@dataclass(frozen=True, slots=True)
class SpineRows:
    """Rows of a model's spine, as JSON values not yet validated: the features are looked up and computed."""

    rows: Any
    as_of: Any = None


class GivenFeatures(Protocol):
    """Features given by the request, in whatever form they came."""

    def encode(self, predictor: Predictor) -> np.ndarray:
        """Encode them as float32 of shape (rows, features); raises InvalidRows."""
        ...

    def by_row(self) -> Sequence[Mapping[str, Any]]:
        """Return each row's features by name, once they are encoded."""
        ...


@dataclass(slots=True)
class PredictionRequest:
    """What a client wants predicted.

    Attributes:
        rows: features, or rows of the spine whose features are looked up.
        model: name of the model; empty for the only one that is served.
        version: version of it; None for the champion.
        contributions: whether what each feature contributed is wanted.
        context: whatever the protocol needs again to write the response; nothing else reads it.
    """

    rows: GivenFeatures | SpineRows
    model: str = ""
    version: str | None = None
    contributions: bool = False
    context: Any = None


@dataclass(slots=True)
class Part:
    """Rows of a request that one version answers.

    Attributes:
        rows: their positions in the request; None for all of them.
        matrix: their encoded features.
        answer: their predictions by column, once there are any.
        contributions: of each row, where they are wanted.
    """

    served: Served
    role: str
    rows: Sequence[int] | None
    matrix: np.ndarray
    answer: Answer = field(default_factory=dict)
    contributions: Sequence[dict[str, Any]] | None = None


@dataclass(slots=True)
class PredictionResponse:
    """Predictions of all rows of a request.

    Attributes:
        request_id: identifies the request in the log.
        at: the moment that the features are of, microseconds since the epoch.
        champion: the version that the request began with.
        parts: the versions that answered, each with its rows.
        features: of each row, by name; made when they are read first.
        given: of each row what the client gave; empty where it gave features.
        fetched: of each row what was looked up; empty where nothing was.
        fallback: why something else answers than the model; empty where the model does.
        key: name of the key that let the request in; empty where none was needed.
    """

    request: PredictionRequest
    request_id: str
    at: int
    champion: Served
    parts: Sequence[Part]
    features: Callable[[], Sequence[Mapping[str, Any]]]
    given: Sequence[Mapping[str, Any]] = ()
    fetched: Sequence[Fetched] = ()
    fallback: str = ""
    key: str = ""

    def roles(self) -> set[str]:
        """Return who has answered."""
        return {part.role for part in self.parts}

    def by_column(self) -> Answer:
        """Return the predictions of a request that the champion alone answered, by column."""
        (part,) = self.parts
        return part.answer

    def by_row(self) -> list[dict[str, Any]]:
        """Return each row's prediction by column, in the order of the request."""
        if len(self.parts) == 1:
            return by_row(self.parts[0].answer)
        placed = {at: row for part in self.parts for at, row in zip(part.rows or (), by_row(part.answer), strict=True)}
        return [placed[at] for at in range(len(placed))]


def by_row(answer: Answer) -> list[dict[str, Any]]:
    """Turn columns into rows."""
    if len(answer["score"]) == 1:
        return [{name: values[0] for name, values in answer.items()}]
    return [dict(zip(answer, row, strict=True)) for row in zip(*answer.values(), strict=True)]
