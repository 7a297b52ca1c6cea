"""Population stability index (PSI) of every feature, in every chunk and over the whole period.

For bins i with the share r_i of the reference's rows and a_i of the analysis' rows::

    PSI = sum over i of (a_i - r_i) * ln(a_i / r_i)

It is the symmetric divergence J of Kullback and Leibler (On Information and Sufficiency, Annals of
Mathematical Statistics 22, 1951) over binned shares. As a monitoring measure, read as "below 0.1 stable,
0.1 to 0.2 some shift, above 0.2 much", it comes from credit scoring (N. Siddiqi, Credit Risk Scorecards,
2006). Without any drift its expectation is about (bins - 1) * (1/n + 1/m) for n and m rows (B. Yurdakul,
Statistical Properties of Population Stability Index, 2018): with 500 rows, ten bins give 0.02 and a text
feature of 200 values gives 0.4.

Bins of a numeric feature are the reference's quantiles, right-closed. A value that fills a whole quantile
bin (such as the zeros of a count that is mostly zero) is a bin by itself, so that a shift away from
it shows. Values beyond all the reference's fall into the outer bins. Every category of a text feature is a
bin; so are nulls; so is each category that only the analysis has. Shares below ``floor`` count as ``floor``.

Values are exact, from profiles: the quantiles are cuts of the grid. Only where a text feature has more categories than
a profile tells apart, the others enter as one bin; the error then says how much they could add at most.
"""

from functools import reduce

import numpy as np
import polars as pl

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.categories import PairedCategories
from ml_assets.monitoring.drift.statistics.profiled import Distance
from ml_assets.monitoring.drift.statistics.statistic import ERROR, MEASURED, DriftFrames, DriftStatistic
from ml_assets.monitoring.inputs import Features
from ml_assets.profiles import Grid, NumberGrid, NumberProfile, Profile, TextProfile, cuts, profile


class PopulationStability(DriftStatistic):
    """PSI of every feature, per chunk and for the period: the statistic that decides."""

    name = "psi"
    takes_threshold = False

    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare with every row of the reference; the threshold is ``monitoring.psi_threshold``."""
        spec, profiles = frames.spec, frames.profiles
        rows = [
            (chunk, name, *compare_psi(name, profiles.reference, now, profiles.grid, spec.psi_floor))
            for chunk, now in [*profiles.chunks.items(), (None, profiles.whole)]
            for name in features.all
        ]
        values = pl.DataFrame(rows, schema={CHUNK: pl.Int64, "feature": pl.String, **_VALUE}, orient="row")
        return values.with_columns(
            threshold=pl.lit(spec.psi_threshold, pl.Float64), alert=pl.col("value") > spec.psi_threshold
        ).select(*MEASURED, ERROR)


_VALUE = {"value": pl.Float64, ERROR: pl.Float64}


def quantile_breaks(values: pl.Series, bins: int) -> list[float]:
    """Return inner bin edges from reference ``values`` (Float64): bin i is (breaks[i - 1], breaks[i]]."""
    return cuts.quantile_breaks(np.sort(values.drop_nulls().to_numpy()), bins).tolist()


def compare_psi(name: str, reference: Profile, now: Profile, grid: Grid, floor: float) -> tuple[float, float]:
    """Return the PSI of a column of two profiles on one grid, and by how much the true one may be greater."""
    one, other, at = reference.columns[name], now.columns[name], grid.columns[name]
    if not one.grid == other.grid == at.digest:
        raise ValueError(f"profiles of column {name!r} were counted on different grids: profile the rows again on one")
    if isinstance(one, NumberProfile) and isinstance(other, NumberProfile) and isinstance(at, NumberGrid):
        expected, actual = (_by_break(each, at.breaks) for each in (one, other))
        return _summed(expected, actual, floor), 0.0
    if isinstance(one, TextProfile) and isinstance(other, TextProfile):
        return _of_texts(one, other, floor)
    raise ValueError(f"column {name!r} is {one.kind} in one profile and {other.kind} in the other")


def _by_break(profile: NumberProfile, breaks: np.ndarray) -> np.ndarray:
    """Return rows by bin, those without a value last."""
    upto = np.append(np.cumsum(profile.counts)[breaks], profile.present)
    return np.append(np.diff(upto, prepend=0), profile.missing + profile.nan)


def _of_texts(one: TextProfile, other: TextProfile, floor: float) -> tuple[float, float]:
    paired = PairedCategories.of(one, other)
    rest = (paired.expected_rest, paired.actual_rest)
    expected = np.append(paired.expected, [one.missing, rest[0]])
    actual = np.append(paired.actual, [other.missing, rest[1]])
    value = _summed(expected, actual, floor)
    if not any(rest):
        return value, 0.0
    told_apart = _summed(expected[:-1], actual[:-1], floor, of=(one.rows, other.rows))
    # A term is greatest where a category is on one side only, and such terms add up to less than their shares' term.
    most = told_apart + sum(_term(rows / of, floor) for rows, of in zip(rest, (one.rows, other.rows), strict=True))
    return value, Distance.between(min(told_apart, value), value, max(most, value)).error


def _summed(expected: np.ndarray, actual: np.ndarray, floor: float, of: tuple[int, int] | None = None) -> float:
    """Sum the terms of bins, of the rows in them."""
    totals = of or (expected.sum(), actual.sum())
    r, a = (np.maximum(rows / max(total, 1), floor) for rows, total in zip((expected, actual), totals, strict=True))
    return float(np.sum((a - r) * np.log(a / r)))


def _term(share: float, floor: float) -> float:
    share = max(share, floor)
    return (share - floor) * float(np.log(share / floor))


def measure_psi(
    reference: pl.DataFrame, analysis: pl.DataFrame, *, features: Features, by: str, bins: int, floor: float
) -> pl.DataFrame:
    """Measure PSI per feature and value of ``by`` (an Int64 column of ``analysis``) and over all its rows.

    Args:
        reference: at least the columns ``features``: numeric Float64 without NaN, text String.
        analysis: the same columns and ``by``.

    Returns:
        ``by`` (null for all rows together), feature, value (Float64).
    """
    grid = Grid.of(reference.select(features.all), quantiles=bins)
    known = profile(reference, grid)
    groups = {key: profile(rows, grid) for (key,), rows in analysis.group_by(by, maintain_order=True)}
    whole = reduce(Profile.merge, groups.values())
    rows = [
        (key, name, compare_psi(name, known, now, grid, floor)[0])
        for key, now in [*groups.items(), (None, whole)]
        for name in features.all
    ]
    return pl.DataFrame(rows, schema={by: pl.Int64, "feature": pl.String, "value": pl.Float64}, orient="row")


def bin_counts(frame: pl.DataFrame, features: Features, breaks: dict[str, list[float]], by: str) -> pl.DataFrame:
    """Count rows per ``by``, feature and bin (String; null for null values)."""
    bins = {name: _bin(name, breaks[name]) for name in features.numeric}
    bins |= {name: pl.col(name) for name in features.text}
    counted = [
        frame.lazy()
        .group_by(by, bin=which)
        .agg(rows=pl.len().cast(pl.Int64))
        .select(by, pl.lit(name).alias("feature"), pl.col("bin").cast(pl.String), "rows")
        for name, which in bins.items()
    ]
    return pl.concat(counted).collect()


def _bin(name: str, breaks: list[float]) -> pl.Expr:
    number = pl.lit(pl.Series(breaks, dtype=pl.Float64)).search_sorted(pl.col(name), side="left")
    return pl.when(pl.col(name).is_not_null()).then(number)


STATISTIC = PopulationStability()
