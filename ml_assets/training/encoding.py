"""Features as the numbers XGBoost sees, by a vocabulary recorded at training time."""

import re
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.scoring_core.rows import infinite_features

_FEATURE_TYPES = {"number": "q", "boolean": "i", "category": "c"}

STORED_TYPES = {"number": pl.Float64(), "boolean": pl.Boolean(), "category": pl.String()}
"""The column type that holds every value of a kind."""


class FeatureEncoding(BaseModel):
    """How one feature becomes a float32."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Column of the frame.")
    kind: Literal["number", "boolean", "category"] = Field(description="What the column holds.")
    vocabulary: tuple[str, ...] = Field(
        default=(), description="Categories seen in training, sorted; a category's code is its position."
    )


class Encoding(BaseModel):
    """Feature order, kinds and vocabularies; learned on training rows, stored with the model as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[FeatureEncoding, ...] = Field(description="In the order of the model's columns.")

    @classmethod
    def learn(cls, train: pl.DataFrame, features: Sequence[str]) -> Self:
        """Record kinds and vocabularies from training rows.

        The vocabulary is sorted, so neither row order nor the physical codes of a Categorical matter.

        Raises:
            ValueError: a feature is missing, named twice, or of a type that is neither number, boolean
                nor text.
        """
        if len(set(features)) < len(features):
            raise ValueError(f"features are named twice: {sorted({f for f in features if features.count(f) > 1})}")
        _require(train, features)
        return cls(features=tuple(_learn_feature(train[name]) for name in features))

    @property
    def names(self) -> list[str]:
        """Feature names in column order."""
        return [feature.name for feature in self.features]

    def numbered_unless(self, plain: re.Pattern[str]) -> list[str]:
        """Return the names if each matches ``plain``, else ``feature_0``, ``feature_1`` ... for a library that goes by
        the order of the columns anyway."""
        names = self.names
        return names if all(plain.fullmatch(name) for name in names) else [f"feature_{at}" for at in range(len(names))]

    @property
    def feature_types(self) -> list[str]:
        """XGBoost's type of each column: ``q`` number, ``i`` boolean, ``c`` category."""
        return [_FEATURE_TYPES[feature.kind] for feature in self.features]

    def misfits(self, schema: pl.Schema) -> list[str]:
        """Return why a frame cannot be encoded, a line for each feature that is missing or of another kind."""
        missing = [f"feature {name} is not there" for name in self.names if name not in schema]
        there = [feature for feature in self.features if feature.name in schema]
        other = [_other_kind(feature, schema[feature.name]) for feature in there]
        return [*missing, *(text for text in other if text)]

    def unseen(self, frame: pl.DataFrame) -> dict[str, float]:
        """Return the share of rows with a category that training has not seen, which is taken as missing, for each
        feature with any."""
        text = {feature.name: feature.vocabulary for feature in self.features if feature.kind == "category"}
        if frame.is_empty() or not text:
            return {}
        shares = frame.select(
            (pl.col(name).is_not_null() & ~pl.col(name).cast(pl.String).is_in(list(known))).mean()
            for name, known in text.items()
        )
        return {name: share for name, share in shares.row(0, named=True).items() if share}

    def encode(self, frame: pl.DataFrame) -> np.ndarray:
        """Encode rows as a C-contiguous float32 array of shape (rows, features).

        A null, and a category that training did not see, become NaN, which XGBoost treats as missing.
        Whole numbers beyond 2^24 are rounded to float32.

        Raises:
            ValueError: a feature is missing, has changed its kind since training, or holds an infinite value.
        """
        _require(frame, self.names)
        schema = frame.schema  # made anew each time that it is asked for
        for feature in self.features:
            _require_kind(feature, schema[feature.name])
        matrix = frame.select(_expression(feature) for feature in self.features).to_numpy(order="c")
        if names := infinite_features(matrix, self.features):
            raise ValueError(f"features {names} hold infinite values (or beyond float32): make them null upstream")
        return matrix


def _kind(dtype: pl.DataType) -> Literal["number", "boolean", "category"] | None:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "category"
    return None


def _learn_feature(column: pl.Series) -> FeatureEncoding:
    kind = _kind(column.dtype)
    if kind is None:
        raise ValueError(
            f"feature {column.name} is {column.dtype}: a model takes numbers, booleans and text;"
            " turn a time into a number (an age in days, an hour of the day) in its feature view"
        )
    if kind != "category":
        return FeatureEncoding(name=column.name, kind=kind)
    vocabulary = column.cast(pl.String).unique().drop_nulls().sort().to_list()
    return FeatureEncoding(name=column.name, kind=kind, vocabulary=tuple(vocabulary))


def _require(frame: pl.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"features {missing} are not in the frame, whose columns are {frame.columns}")


def _require_kind(feature: FeatureEncoding, dtype: pl.DataType) -> None:
    if text := _other_kind(feature, dtype):
        raise ValueError(text)


def _other_kind(feature: FeatureEncoding, dtype: pl.DataType) -> str:
    """Return what is wrong with the type of a feature's column; empty if nothing is."""
    if dtype == pl.Null or _kind(dtype) == feature.kind:
        return ""
    return f"feature {feature.name} was a {feature.kind} in training and is {dtype} now"


def _expression(feature: FeatureEncoding) -> pl.Expr:
    column = pl.col(feature.name)
    if feature.kind == "category":
        column = column.cast(pl.String).cast(pl.Enum(feature.vocabulary), strict=False).to_physical()
    return column.cast(pl.Float32).fill_null(float("nan"))
