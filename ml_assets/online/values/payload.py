"""Feature values as text that gives them back exactly."""

import orjson
import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.online.values.keys import ENTITY
from ml_assets.online.values.moments import KNOWN_AT, VALID_FROM


def encode_rows(view: str, values: pl.DataFrame) -> list[str]:
    """Encode each row as the inside of a JSON list, such as `12,0.5,null,"a"`.

    A float is written with the fewest digits that give the same float back; NaN becomes null, as missing as it is
    to a model.

    Raises:
        FeatureError: a feature is of a type that no model takes, or infinite.
    """
    taken = [_taken(view, column) for column in values.iter_columns()]
    return [orjson.dumps(row)[1:-1].decode() for row in pl.DataFrame(taken).rows()]


def _taken(view: str, column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype.is_decimal():
        return column.cast(pl.Float64)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if dtype.is_float() and column.is_infinite().any():
        raise FeatureError(
            f"feature view {view!r}: feature {column.name!r} is infinite; if it divides, divide by NULLIF(..., 0), "
            "which gives null instead"
        )
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Null):
        return column
    raise FeatureError(
        f"feature view {view!r}: feature {column.name!r} is {dtype}; models take numbers, booleans and text: turn it "
        "into one of them, such as EXTRACT(hour FROM ...) of a moment"
    )


def encode_moments(view: FeatureViewSpec, moments: pl.DataFrame) -> pl.DataFrame:
    """Return ENTITY, VALID_FROM and the encoded KNOWN_AT and values; without moments at which nothing changes.

    Args:
        moments: as `build_moments` gives them.
    """
    texts = encode_rows(view.name, moments.select(KNOWN_AT, *stored_features(view)))
    encoded = moments.select(ENTITY, VALID_FROM, pl.Series("payload", texts, pl.String))
    return encoded.filter(pl.struct(ENTITY, "payload").ne_missing(pl.struct(ENTITY, "payload").shift(1)))


def encode_unseen(view: FeatureViewSpec, values: pl.DataFrame) -> str:
    """Encode KNOWN_AT and the values of an entity without facts."""
    return encode_rows(view.name, values.select(pl.lit(None, pl.Int64).alias(KNOWN_AT), pl.all()))[0]
