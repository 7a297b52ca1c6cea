"""Rows as text: CSV with or without a header, and a JSON value on each line; read, and written."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from ml_assets.scoring.predictor import Predictor
from ml_assets.scoring_core.rows import WANTED, InvalidRows
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureLists, FeatureRows
from ml_assets.serving.protocols.json_body import read_json_value

_MISSING = frozenset({"", "nan", "na", "null", "none"})
"""What stands for no value, in lower case, in place of a number, true or false; for a category only nothing does."""

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class TextRows:
    """Rows of texts, each of which is read as its feature is: number, boolean or category."""

    def __init__(self, lines: Sequence[Sequence[str]], header: bool | None) -> None:
        """Hold the rows.

        Args:
            lines: texts by row.
            header: whether the first one names the features; None if that is to be seen by whether it has such a name.
                Without names the texts are in the order of the model's features.
        """
        self._lines = lines
        self._header = header
        self._columns: dict[str, list[Any]] = {}

    def encode(self, predictor: Predictor) -> np.ndarray:
        """Encode the rows as `RowEncoder.encode_columns` does."""
        kinds = {feature.name: feature.kind for feature in predictor.features}
        lines = self._lines
        named = any(text in kinds for text in lines[0]) if self._header is None and lines else bool(self._header)
        names = list(lines[0]) if named and lines else list(kinds)
        if len(set(names)) < len(names):
            raise InvalidRows(f"the header must have each name once: {names[:50]}")
        rows = lines[1:] if named else lines
        for at, row in enumerate(rows):
            if len(row) != len(names):
                raise InvalidRows(f"row {at} must have {len(names)} values, for {names[:50]}, not {len(row)}")
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        self._columns = {
            name: _values(name, kinds.get(name, "category"), texts) for name, texts in zip(names, columns, strict=True)
        }
        return predictor.encode_columns(self._columns)

    def by_row(self) -> Sequence[Mapping[str, Any]]:
        """Return each row's features by name, once they are encoded."""
        return [dict(zip(self._columns, values, strict=True)) for values in zip(*self._columns.values(), strict=True)]


def read_csv(body: bytes, header: bool | None, most: int) -> TextRows:
    """Read CSV in UTF-8; lines that are empty do not count.

    Args:
        header: whether the first line names the features; None if that is to be seen by its texts.
        most: rows of a request.

    Raises:
        BadRequest: it is no CSV, or has too many lines (413).
    """
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"the body is no CSV in UTF-8: {error}") from error
    if len(lines) > most + 1:
        raise BadRequest(f"{len(lines)} lines are more than {most} rows and a header: send fewer at once", 413)
    return TextRows(lines, header)


def read_lines(body: bytes) -> FeatureRows | FeatureLists:
    """Read a row from each line: an object with the features by name, a list in the order of the model's features, or
    an object with such a list under `features`.

    Raises:
        BadRequest: a line is no JSON.
    """
    rows = [_row(at, line) for at, line in enumerate(body.splitlines()) if line.strip()]
    return FeatureLists(rows) if rows and type(rows[0]) is list else FeatureRows(rows)


def write_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write the values of each row on a line, without a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_written(value) for value in row.values()] for row in rows)
    return text.getvalue().encode()


def write_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write each row as an object on a line."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _values(name: str, kind: str, texts: Sequence[str]) -> list[Any]:
    if kind == "category":
        return [text or None for text in texts]
    read = _number if kind == "number" else _boolean
    values: list[Any] = []
    for at, text in enumerate(texts):
        try:
            values.append(None if text.strip().lower() in _MISSING else read(text))
        except ValueError as error:
            raise InvalidRows(
                f"row {at}, feature {name}: must be {WANTED[kind]} or empty, not {text[:40]!r}"
            ) from error
    return values


def _number(text: str) -> float:
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _boolean(text: str) -> bool:
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise ValueError(text)
    return value


def _row(at: int, line: bytes) -> Any:
    try:
        row = read_json_value(line, nan=True)
    except BadRequest as error:
        raise BadRequest(f"line {at + 1}: {error}") from error
    if type(row) is dict and row.keys() == {"features"} and type(row["features"]) is list:
        return row["features"]
    return row


def _written(value: Any) -> Any:
    return str(value).lower() if type(value) is bool else value
