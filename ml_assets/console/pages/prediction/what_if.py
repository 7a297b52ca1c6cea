"""Features as a person changes them: read from texts by their kinds, every mistake in one message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ml_assets.console.pages.prediction.query import NOTHING, WrongQuestion
from ml_assets.training.encoding import STORED_TYPES, Encoding, FeatureEncoding

_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class FeatureChanges:
    """Changed features of a row.

    Attributes:
        values: feature -> value, None for no value.
        unseen: features with a category that training did not see: the model takes it for missing.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    unseen: Sequence[str] = ()


def read_changes(encoding: Encoding, texts: Mapping[str, str]) -> FeatureChanges:
    """Read changed features.

    Raises:
        WrongQuestion: some are no features of the version, or their texts no values; all are named.
    """
    features = {feature.name: feature for feature in encoding.features}
    wrong, values, unseen = [], {}, []
    for name, text in texts.items():
        if name not in features:
            wrong.append(f"{name} is no feature of this version")
            continue
        feature = features[name]
        values[name], problem = _value(feature, text.strip())
        wrong += [f"{name}: {problem}"] if problem else []
        if feature.kind == "category" and values[name] is not None and values[name] not in feature.vocabulary:
            unseen.append(name)
    if wrong:
        raise WrongQuestion(f"what if: {'; '.join(wrong)}")
    return FeatureChanges(values, tuple(unseen))


def changed(row: pl.DataFrame, changes: FeatureChanges, encoding: Encoding) -> pl.DataFrame:
    """Return a row with changed features, each in the type that its kind is stored in."""
    kinds = {feature.name: STORED_TYPES[feature.kind] for feature in encoding.features}
    return row.with_columns(pl.Series(name, [value], dtype=kinds[name]) for name, value in changes.values.items())


def _value(feature: FeatureEncoding, text: str) -> tuple[Any, str]:
    """Return the value of a text, and what is wrong with it."""
    if text == NOTHING and NOTHING not in feature.vocabulary:
        return None, ""
    if feature.kind == "category":
        return text, ""
    if feature.kind == "boolean":
        wrong = "" if text.lower() in _TRUTHS else f"{text!r} is neither true nor false; {NOTHING} stands for no value"
        return _TRUTHS.get(text.lower()), wrong
    try:
        number = float(text)
    except ValueError:
        return None, f"{text!r} is no number; {NOTHING} stands for no value"
    fits = abs(number) <= _LARGEST
    return (number, "") if fits else (None, f"{text} is not finite, or beyond what a model can hold")


_LARGEST = 3.4e38
