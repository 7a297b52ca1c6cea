"""Rates and calibration of every group, with intervals, beside the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl

from ml_assets.fairness.views import RATIO, FairnessView, Sums

FAIRNESS = {
    "attribute": pl.String,
    "group": pl.String,
    "class": pl.String,
    "measure": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "interval": pl.String,
    "rows": pl.Int64,
    "known": pl.Int64,
    "judged": pl.Boolean,
}
"""Columns of what is measured."""

WILSON, BOOTSTRAP = "wilson", "bootstrap"
MOST_BLOCKS = 1_000
"""Blocks that a group's rows are dealt into, and that are drawn instead of rows where there are more rows."""


@dataclass(frozen=True)
class IntervalRule:
    """How intervals are made."""

    confidence: float = 0.95
    resamples: int = 500
    seed: int = 0


def measure_fairness(
    rows: pl.DataFrame,
    attributes: Sequence[str],
    views: Sequence[FairnessView],
    *,
    min_rows: int,
    intervals: IntervalRule,
) -> pl.DataFrame:
    """Measure every group of some columns by itself and beside the rest: all other rows whose group is known.

    The interval of a share of counted rows is Wilson's (E. B. Wilson, Probable Inference, the Law of Succession, and
    Statistical Inference, JASA 22, 1927). Others, and those of comparisons, are percentiles of a seeded bootstrap in
    which each group is resampled by itself; of a group with more rows than ``MOST_BLOCKS`` its random blocks are drawn.

    Args:
        rows: the columns, and what the views read.
        min_rows: rows below which a group is counted, gets no bootstrap and is not judged.

    Returns:
        The columns ``FAIRNESS``, one row per attribute, group (text; null for rows of no known group), class of the
        view and measure: its value, null where it is undefined, the ends of its interval and how that was made. A
        comparison with the rest is a measure ``<measure>_difference`` or ``<measure>_ratio``. ``rows`` counts the
        group's, ``known`` those with a known outcome; ``judged`` says whether the group is held against limits.
    """
    parts = [_measure_view(rows, attribute, view, min_rows, intervals) for attribute in attributes for view in views]
    return pl.concat([pl.DataFrame(schema=FAIRNESS), *parts])


def _measure_view(
    rows: pl.DataFrame, attribute: str, view: FairnessView, min_rows: int, intervals: IntervalRule
) -> pl.DataFrame:
    groups = _sum_groups(rows, attribute, view, intervals.seed)
    named = [group for group in groups if group.name is not None]
    rng = np.random.default_rng(intervals.seed)
    large = [group for group in groups if group.rows >= min_rows]
    drawn = {group.name: group.resample(intervals.resamples, rng) for group in large}
    # The rest is all others; small groups are part of it too, as they are.
    every = _add([group.total for group in named])
    every_drawn = _add([drawn.get(group.name, group.total) for group in named])
    table = []
    for group in groups:
        alone = group.name is None or len(named) < 2
        rest = None if alone else _less(every, group.total)
        resampled = drawn.get(group.name)
        of_rest = None if alone else _less(every_drawn, resampled or group.total)
        about = (attribute, group.name, view.name)
        counts = (group.rows, group.known, group.name is not None and group.rows >= min_rows)
        for name, value in view.measure(group.total).items():
            ends = _own_interval(view, name, group.total, resampled, intervals)
            table.append((*about, name, _number(value), *ends, *counts))
        if rest is not None:
            for name, value, samples in _comparisons(view, group.total, rest, resampled, of_rest):
                table.append((*about, name, _number(value), *_percentiles(samples, intervals), *counts))
    return pl.DataFrame(table, schema=FAIRNESS, orient="row")


@dataclass(frozen=True)
class _GroupSums:
    """Sums of a group's rows: in all, shape (), and by block, shape (blocks,)."""

    name: str | None
    total: dict[str, np.ndarray]
    blocks: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        return int(self.total["rows"])

    @property
    def known(self) -> int:
        return int(self.total["known"])

    def resample(self, resamples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return sums over blocks drawn with replacement, each of shape (resamples,)."""
        count = len(self.blocks["rows"])
        times = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
        drawn = times @ np.stack(list(self.blocks.values()), axis=1)
        return dict(zip(self.blocks, drawn.T, strict=True))


def _sum_groups(rows: pl.DataFrame, attribute: str, view: FairnessView, seed: int) -> list[_GroupSums]:
    sums = view.sums()
    numbered = rows.select(
        pl.col(attribute).cast(pl.String).alias("group"),
        **{name: expression.cast(pl.Float64) for name, expression in sums.items()},
    )
    order = np.random.default_rng(seed).permutation(rows.height)
    by_block = (
        numbered.with_columns(place=pl.Series(order, dtype=pl.Int64))
        .with_columns(block=(pl.col("place").rank("ordinal").over("group") - 1) % MOST_BLOCKS)
        .group_by("group", "block")
        .agg(pl.col(*sums).sum())
        .sort("group", "block", nulls_last=True)
    )
    groups = []
    for (name,), part in by_block.group_by("group", maintain_order=True):
        blocks = {each: part[each].to_numpy() for each in sums}
        total = {each: np.asarray(values.sum()) for each, values in blocks.items()}
        groups.append(_GroupSums(None if name is None else str(name), total, blocks))
    return groups


def _add(parts: Sequence[Sums]) -> Sums:
    added: dict[str, np.ndarray] = {}
    for part in parts:
        for name, sums in part.items():
            added[name] = added[name] + sums if name in added else sums
    return added


def _less(every: Sums, own: Sums) -> Sums:
    return {name: sums - own[name] for name, sums in every.items()}


def _comparisons(view: FairnessView, own: Sums, rest: Sums, drawn: Sums | None, of_rest: Sums | None):
    """Yield name, value and resampled values, if any, of each comparison of a group with the rest."""
    mine, others = view.measure(own), view.measure(rest)
    resampled = None if drawn is None or of_rest is None else (view.measure(drawn), view.measure(of_rest))
    for measure, ways in view.compared.items():
        for way in ways:
            samples = None if resampled is None else _compare(way, resampled[0][measure], resampled[1][measure])
            yield f"{measure}_{way}", _compare(way, mine[measure], others[measure]), samples


def _compare(way: str, own: np.ndarray, rest: np.ndarray) -> np.ndarray:
    if way != RATIO:
        return own - rest
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rest != 0, own / rest, np.nan)


_Ends = tuple[float | None, float | None, str | None]


def _own_interval(view: FairnessView, name: str, total: Sums, drawn: Sums | None, intervals: IntervalRule) -> _Ends:
    if name in view.rates:
        hits, of = view.rates[name]
        return wilson(float(total[hits]), float(total[of]), intervals.confidence)
    return _percentiles(None if drawn is None else view.measure(drawn)[name], intervals)


def wilson(hits: float, of: float, confidence: float) -> _Ends:
    """Return Wilson's interval of a share, and its name; nothing where it is a share of no row."""
    if of == 0:
        return None, None, None
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), hits / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half)), WILSON


def _percentiles(samples: np.ndarray | None, intervals: IntervalRule) -> _Ends:
    defined = np.empty(0) if samples is None else samples[np.isfinite(samples)]
    if not defined.size:
        return None, None, None
    tail = (1 - intervals.confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high), BOOTSTRAP


def _number(value: np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
