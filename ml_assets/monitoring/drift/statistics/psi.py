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
"""

import numpy as np
import polars as pl

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.statistic import MEASURED, DriftFrames, DriftStatistic
from ml_assets.monitoring.inputs import Features


class PopulationStability(DriftStatistic):
    """PSI of every feature, per chunk and for the period: the statistic that decides."""

    name = "psi"
    takes_threshold = False

    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare with every row of the reference; the threshold is ``monitoring.psi_threshold``."""
        spec = frames.spec
        values = measure_psi(
            frames.reference, frames.analysis, features=features, by=CHUNK, bins=spec.psi_bins, floor=spec.psi_floor
        )
        return values.select(
            CHUNK,
            "feature",
            "value",
            threshold=pl.lit(spec.psi_threshold, pl.Float64),
            alert=pl.col("value") > spec.psi_threshold,
        ).select(*MEASURED)


def quantile_breaks(values: pl.Series, bins: int) -> list[float]:
    """Return inner bin edges from reference ``values`` (Float64): bin i is (breaks[i - 1], breaks[i]].

    The k-th quantile is the smallest value that at least k/bins of the non-null values do not exceed.
    Equal quantiles merge into one edge, and the value they share becomes a bin by itself.
    """
    ordered = values.drop_nulls().sort().to_numpy()
    if not ordered.size:
        return []
    ranks = -(-np.arange(1, bins) * ordered.size // bins) - 1
    edges, times = np.unique(ordered[ranks], return_counts=True)
    below = np.nextafter(edges[times > 1], -np.inf)
    return np.union1d(edges, below).tolist()


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
    breaks = {name: quantile_breaks(reference[name], bins) for name in features.numeric}
    expected = bin_counts(reference.with_columns(pl.lit(0, pl.Int64).alias(by)), features, breaks, by).drop(by)
    each = bin_counts(analysis, features, breaks, by)
    together = each.group_by("feature", "bin").agg(pl.col("rows").sum())
    actual = pl.concat([each, together.select(pl.lit(None, pl.Int64).alias(by), *each.columns[1:])])
    return _divergence(expected, actual, by, floor)


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


def _divergence(expected: pl.DataFrame, actual: pl.DataFrame, by: str, floor: float) -> pl.DataFrame:
    """Sum the PSI terms over every bin that the reference or the analysis has."""
    key = ["feature", "bin"]
    every_bin = pl.concat([expected.select(key), actual.select(key)]).unique()
    grid = actual.select(by).unique().join(every_bin, how="cross")
    shares = grid.join(expected, on=key, how="left", nulls_equal=True).join(
        actual, on=[by, *key], how="left", nulls_equal=True, suffix="_actual"
    )
    r, a = (_share(name, by, floor) for name in ("rows", "rows_actual"))
    term = (a - r) * (a / r).log()
    # Sorted, because sums of floats depend on their order, and equal input must give equal bits.
    terms = shares.select(by, *key, value=term).sort(by, *key)
    return terms.group_by(by, "feature", maintain_order=True).agg(pl.col("value").sum())


def _share(rows: str, by: str, floor: float) -> pl.Expr:
    filled = pl.col(rows).fill_null(0)
    return (filled / filled.sum().over(by, "feature")).clip(lower_bound=floor)


STATISTIC = PopulationStability()
