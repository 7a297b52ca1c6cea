"""What those get who act on the rows with the highest scores."""

from collections.abc import Sequence

import numpy as np

from ml_assets.training.metrics.metric import TopOfList


def measure_top(positive: np.ndarray, weights: np.ndarray, tops: Sequence[TopOfList]) -> list[np.ndarray]:
    """Measure tops of a list under each of b row weightings.

    The list holds the rows by falling score. Of rows with equal scores of which not all have a place, each is as
    likely to have one as the others: what is returned is the mean over all their orders. A share of the rows that is
    no whole number takes the last row in part; a top of more rows than there are is the whole list.

    - precision: share of the top's rows that are positive.
    - recall: share of the positives that are in the top.
    - lift: precision divided by the share of positives in the whole list.

    Args:
        positive: weight of the positive rows of each of g distinct scores, ascending, shape (b, g).
        weights: weight of all rows of each, shape (b, g).

    Returns:
        For each top an array of shape (b,); NaN where there is no row, or for recall and lift no positive.
    """
    total, positives = weights.sum(axis=1), positive.sum(axis=1)
    hits_of: dict[tuple[int | None, float | None], tuple[np.ndarray, np.ndarray]] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.divide(positive, weights, out=np.zeros_like(weights), where=weights > 0)
        for top in tops:
            end = top.rows, top.share
            if end not in hits_of:
                size, within = fill_top(weights, top)
                hits_of[end] = size, np.einsum("bg,bg->b", within, rate)
        return [_measured(top.measure, *hits_of[top.rows, top.share], total, positives) for top in tops]


def fill_top(weights: np.ndarray, top: TopOfList) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows a top has, shape (b,), and how much of each distinct score's weight is in it, (b, g).

    Args:
        weights: weight of all rows of each of g distinct scores, ascending, shape (b, g).
    """
    total = weights.sum(axis=1)
    size = np.minimum(total, top.rows) if top.rows is not None else total * (top.share or 0)
    above = total[:, None] - np.cumsum(weights, axis=1)
    return size, np.clip(size[:, None] - above, 0, weights)


def _measured(measure: str, size: np.ndarray, hits: np.ndarray, total: np.ndarray, positives: np.ndarray) -> np.ndarray:
    if measure == "recall":
        return hits / positives
    precision = hits / size
    return precision if measure == "precision" else precision * total / positives
