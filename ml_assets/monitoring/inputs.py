"""The frames monitoring takes, checked and brought to the few types it works on."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs


@dataclass(frozen=True)
class Features:
    """Feature names by how they are compared: ``numeric`` as Float64, ``text`` as String categories."""

    numeric: tuple[str, ...]
    text: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.numeric, *self.text)


def checked(frame: pl.DataFrame, what: str, time: str, columns: Sequence[str]) -> pl.DataFrame:
    """Return ``frame`` with ``time`` as Datetime in microseconds, cut to ``time`` and ``columns``.

    Raises:
        ValueError: a column is missing, there are no rows, or a time is null.
    """
    wanted = list(dict.fromkeys([time, *columns]))
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ValueError(f"{what}: no column {', '.join(missing)}; there are {', '.join(frame.columns)}")
    if frame.is_empty():
        raise ValueError(f"{what}: no rows, so there is nothing to compare; give a period with predictions")
    if frame[time].null_count():
        raise ValueError(f"{what}: {frame[time].null_count()} rows have no {time!r}; leave them out or fill it")
    zone = getattr(frame.schema[time], "time_zone", None)
    return frame.select(wanted).with_columns(pl.col(time).cast(pl.Datetime("us", zone)))


def typed(reference: pl.DataFrame, analysis: pl.DataFrame, features: Sequence[str]) -> Features:
    """Sort ``features`` into numeric (numbers, booleans) and text (String, Categorical, Enum).

    Raises:
        TypeError: a column is neither, or is numeric in one frame and text in the other.
    """
    kinds = [_kinds(frame.select(features)) for frame in (reference, analysis)]
    for name in features:
        if kinds[0][name] != kinds[1][name] or kinds[0][name] is None:
            raise TypeError(
                f"feature {name!r} is {reference.schema[name]} in the reference and {analysis.schema[name]} "
                "in the analysis: it must be a number in both or text in both; cast it, or exclude it"
            )
    return Features(
        numeric=tuple(name for name in features if kinds[0][name] == "numeric"),
        text=tuple(name for name in features if kinds[0][name] == "text"),
    )


def plain(frame: pl.DataFrame, features: Features, keep: Sequence[str]) -> pl.DataFrame:
    """Return ``keep`` untouched, numeric features as Float64 with NaN made null, text features as String."""
    return frame.select(
        *keep,
        *(pl.col(name).cast(pl.Float64).fill_nan(None) for name in features.numeric),
        *(pl.col(name).cast(pl.String) for name in features.text),
    )


def _kinds(frame: pl.DataFrame) -> dict[str, str | None]:
    numeric = set(frame.select(cs.numeric() | cs.boolean()).columns)
    text = set(frame.select(cs.string() | cs.categorical() | cs.enum()).columns)
    return {name: "numeric" if name in numeric else "text" if name in text else None for name in frame.columns}
