"""The ways in which a column may tell the outcome: by its value, its last digit, its words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.training.encoding import Encoding, FeatureEncoding
from ml_assets.training.tasks.baselines import PRIOR_ROWS

_BINS = 50
_MOST_WORDS = 500
_WORD_ROWS = 20  # a word in fewer rows tells nothing
_MANY_TEXTS = 50  # distinct texts up to which a whole text is read, and its words are not
_WORD = r"[\p{L}\p{N}]+"


@dataclass(frozen=True)
class ColumnReading:
    """A column's rows put into bins, learned on known rows.

    Attributes:
        name: how the column was read.
        known: bin of each known row.
        unseen: bin of each row that nothing was learned from.
        count: how many bins there are.
        describe: a bin in words.
    """

    name: str
    known: np.ndarray
    unseen: np.ndarray
    count: int
    describe: Callable[[int], str]


def readings(known: pl.Series, unseen: pl.Series, encoding: Encoding, taught: np.ndarray) -> Iterator[ColumnReading]:
    """Yield the ways to read a column.

    Args:
        encoding: of this column alone, learned on known rows.
        taught: labels of the known rows as numbers, shape (rows, outputs).
    """
    (feature,) = encoding.features
    ours, theirs = (encoding.encode(part.to_frame())[:, 0] for part in (known, unseen))
    yield _by_value(ours, theirs, feature)
    if known.dtype.is_integer() and known.n_unique() > _BINS:
        yield _by_last_digit(known, unseen)
    if feature.kind == "category" and len(feature.vocabulary) > _MANY_TEXTS:
        yield from _by_words(known.cast(pl.String), unseen.cast(pl.String), taught)


def rates(bins: np.ndarray, taught: np.ndarray, count: int) -> np.ndarray:
    """Return the mean of each column of ``taught`` in each bin, drawn towards the overall mean; shape (bins,
    columns)."""
    rows = np.bincount(bins, minlength=count)[:, None]
    sums = np.stack([np.bincount(bins, weights=column, minlength=count) for column in taught.T], axis=1)
    return (sums + PRIOR_ROWS * taught.mean(axis=0)) / (rows + PRIOR_ROWS)


def edges_of(values: np.ndarray, kind: str, count: int = _BINS) -> np.ndarray:
    """Return the edges between bins of about equal mass; for what is no number, every value."""
    values = values[~np.isnan(values)]
    if kind != "number" or len(values) == 0:
        return np.unique(values)
    return np.unique(np.quantile(values, np.arange(1, count) / count, method="nearest"))


def bins_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return each value's bin, 0 to ``len(edges)``; missing values have the next one."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _by_value(known: np.ndarray, unseen: np.ndarray, feature: FeatureEncoding) -> ColumnReading:
    edges = edges_of(known, feature.kind)

    def describe(at: int) -> str:
        if at == len(edges) + 1:
            return "is missing"
        if feature.kind == "category":
            return f"is {feature.vocabulary[int(edges[at - 1])]!r}"
        if at == 0:
            return f"is below {edges[0]:g}"
        return f"is {edges[at - 1]:g} or more" + (f" and below {edges[at]:g}" if at < len(edges) else "")

    return ColumnReading("its value", bins_of(known, edges), bins_of(unseen, edges), len(edges) + 2, describe)


def _by_last_digit(known: pl.Series, unseen: pl.Series) -> ColumnReading:
    def digit(column: pl.Series) -> np.ndarray:
        return (column.cast(pl.Int64).abs() % 10).fill_null(10).to_numpy()

    return ColumnReading("its last digit", digit(known), digit(unseen), 11, lambda at: f"ends in {at}")


def _by_words(known: pl.Series, unseen: pl.Series, taught: np.ndarray) -> Iterator[ColumnReading]:
    """Yield the reading by the most telling word of each text, unless texts have one word or hardly share any."""
    words = _words(known)
    shared = words.group_by("word").len().filter(pl.col("len") >= _WORD_ROWS).sort("len", "word", descending=True)
    vocabulary = shared["word"].head(_MOST_WORDS)
    if words.height <= known.len() - known.null_count() or vocabulary.is_empty():
        return
    places = pl.DataFrame({"word": vocabulary, "at": np.arange(len(vocabulary))})
    found = words.join(places, on="word").select("row", "at")
    rows = found["row"].to_numpy()
    per_word = rates(found["at"].to_numpy(), taught[rows], len(vocabulary))
    places = places.with_columns(telling=np.abs(per_word - taught.mean(axis=0)).max(axis=1))

    def best(column: pl.Series) -> np.ndarray:
        here = _words(column).join(places, on="word").sort("telling", "at", descending=[True, False])
        first = here.unique("row", keep="first", maintain_order=True)
        bins = np.full(column.len(), len(vocabulary))
        bins[first["row"].to_numpy()] = first["at"].to_numpy()
        return bins

    yield ColumnReading(
        "its words",
        best(known),
        best(unseen),
        len(vocabulary) + 1,
        lambda at: f"holds the word {vocabulary[at]!r}" if at < len(vocabulary) else "holds none of the usual words",
    )


def _words(column: pl.Series) -> pl.DataFrame:
    """Return each word of each text once: its row and the word in lower case."""
    texts = pl.DataFrame({"row": np.arange(column.len()), "word": column.str.to_lowercase().str.extract_all(_WORD)})
    return texts.explode("word").drop_nulls("word").unique(maintain_order=True)
