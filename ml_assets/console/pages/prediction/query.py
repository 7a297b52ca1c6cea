"""What a prediction's address asks for, and the row that it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ml_assets.public.rows import as_moment

CHANGE = "set."
"""What the parameters of an address begin with that change a feature: ``set.price=12``."""

NOTHING = "null"
"""Stands for no value."""


class WrongQuestion(ValueError):
    """An address that cannot be answered; the message says why, and what to write."""


@dataclass(frozen=True)
class PredictionQuery:
    """Which prediction is looked at.

    Attributes:
        key: a text for each column of the spine's key, in their order; empty where none is chosen.
        drop: that the row lies in, where it is known; empty to look in all.
        request: of a served answer; empty for the newest.
        scored: batch or served; empty for what there is.
        feature: whose path is shown; empty for none.
        changes: feature -> text, what if it were so.
    """

    model: str
    key: tuple[str, ...] = ()
    drop: str = ""
    request: str = ""
    scored: str = ""
    feature: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> "PredictionQuery":
        """Read the parameters of an address; a change without a text changes nothing."""
        last = dict(pairs)
        named = {name: last.get(name, "") for name in ("model", "drop", "request", "scored", "feature")}
        changes = {n.removeprefix(CHANGE): text for n, text in pairs if n.startswith(CHANGE) and text != ""}
        return cls(key=tuple(text for name, text in pairs if name == "key"), changes=changes, **named)

    def parameters(self, **other: str) -> list[tuple[str, str]]:
        """Return the address's parameters, some of them other than they are."""
        named = {n: getattr(self, n) for n in ("model", "drop", "request", "scored", "feature")} | other
        keys = [("key", text) for text in self.key]
        changes = [(CHANGE + name, text) for name, text in self.changes.items()]
        return [(name, text) for name, text in named.items() if text] + keys + changes


def typed_key(key: Sequence[str], names: Sequence[str], schema: Mapping[str, pl.DataType]) -> dict[str, Any]:
    """Read the texts of a key as values of its columns.

    Raises:
        WrongQuestion: there are more or fewer texts than columns, or one is no value of its column's type.
    """
    if len(key) != len(names):
        raise WrongQuestion(
            f"key: {len(key)} values are given and {len(names)} needed, of {', '.join(names)}: repeat key= for each, "
            "in this order"
        )
    return {name: _typed(name, text, schema[name]) for name, text in zip(names, key, strict=True)}


def _typed(name: str, text: str, dtype: pl.DataType) -> Any:
    try:
        if isinstance(dtype, pl.Datetime):
            moment = as_moment(text)
            return moment if dtype.time_zone else moment.replace(tzinfo=None)
        if dtype.is_integer():
            return int(text)
        if dtype == pl.Boolean:
            return {"true": True, "false": False}[text.lower()]
        return pl.Series([text]).str.to_date()[0] if dtype == pl.Date else text
    except (ValueError, KeyError, pl.exceptions.PolarsError):
        raise WrongQuestion(f"key: {text!r} is no {dtype} for column {name}") from None
