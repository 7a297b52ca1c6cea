"""How far the values of one feature in a chunk are from the reference's, one class a statistic.

Definitions, bins and learned thresholds are NannyML's, so that its manual says how values are to be read. They are
computed here, over arrays: its calculator spends most of its time around them.
"""

from collections.abc import Callable
from itertools import pairwise
from math import lcm

import numpy as np
import polars as pl

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.statistic import MEASURED, DriftFrames, DriftStatistic
from ml_assets.monitoring.inputs import Features
from ml_assets.monitoring.nml import MonitoringError
from ml_assets.monitoring.spec import MonitoringSpec

Compared = tuple[float, bool | None]
"""How far a chunk is from the reference, and whether that is significant; None where a threshold decides."""
Compare = Callable[[np.ndarray], Compared]

SPREADS = 3
"""Standard deviations above the mean of the reference's own chunks at which a threshold lies that is not declared."""
EXACT_BELOW = 10_000
"""Values of the reference below which distribution functions are compared exactly; of more, in as many bins."""
_SIGNIFICANT = 0.05
_NOTHING = (np.nan, None)


class UnivariateStatistic(DriftStatistic):
    """A distance of one feature's values, null for a chunk that has none.

    Attributes:
        greatest: the greatest value it can take, if there is one.
    """

    greatest: float | None = None

    def of_numbers(self, reference: np.ndarray) -> Compare:
        """Learn from values (float64, shape (n,), n > 0) to compare others, shape (m,), m > 0."""
        raise NotImplementedError(f"{self.name} compares no numbers")

    def of_counts(self, reference: np.ndarray) -> Compare:
        """Learn from rows by category (int64, shape (k,)) to compare a chunk's, shape (k,), of any rows."""
        raise NotImplementedError(f"{self.name} compares no text")

    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare with the reference's sample; skip a feature without any value there.

        Raises:
            MonitoringError: a reference that is to be cut into bins holds an infinite value.
        """
        parts = [pl.DataFrame(schema=MEASURED)]
        for name in features.all:
            if frames.sample[name].null_count() < frames.sample.height:
                parts.append(self._measure(frames, name, text=name in features.text))
        return pl.concat(parts)

    def _measure(self, frames: DriftFrames, name: str, *, text: bool) -> pl.DataFrame:
        sample, analysis = frames.sample[name], frames.analysis[name]
        if text:
            sample, analysis, categories = _coded(sample, analysis)
            compare = self.of_counts(_counts(sample, categories))
        else:
            categories, compare = 0, self._learned(sample, name)

        def each(column: pl.Series, frame: pl.DataFrame) -> tuple[list[int], list[Compared]]:
            chunks, edges = _chunks(frame)
            parts = [column[start:end].drop_nulls() for start, end in pairwise(edges)]
            read = (_counts(part, categories) if text else part.to_numpy() for part in parts)
            return chunks, [compare(rows) if len(part) else _NOTHING for part, rows in zip(parts, read, strict=True)]

        threshold = self._threshold(frames.spec, lambda: [value for value, _ in each(sample, frames.sample)[1]])
        chunks, compared = each(analysis, frames.analysis)
        values = np.array([value for value, _ in compared])
        beyond = np.zeros(len(values), bool) if threshold is None else values > threshold
        alerts = [
            bool(over) if significant is None else significant
            for over, (_, significant) in zip(beyond, compared, strict=True)
        ]
        return pl.DataFrame(
            {
                CHUNK: chunks,
                "feature": [name] * len(chunks),
                "value": values,
                "threshold": [threshold] * len(chunks),
                "alert": alerts,
            },
            schema=MEASURED,
        ).with_columns(pl.col("value").fill_nan(None))

    def _learned(self, sample: pl.Series, name: str) -> Compare:
        values = sample.drop_nulls().to_numpy()
        if self.is_binned(len(values)) and not np.isfinite(values).all():
            raise MonitoringError(
                f"univariate drift: {self.name} of feature {name!r} cuts the reference into bins, and "
                f"{np.isinf(values).sum()} of its values are infinite: make them null, or exclude the feature"
            )
        try:
            return self.of_numbers(values)
        except ValueError as error:
            raise MonitoringError(
                f"univariate drift: {self.name} of feature {name!r} cannot be learned ({error}): exclude the feature"
            ) from error

    def is_binned(self, values: int) -> bool:
        """Return whether so many numbers of a reference are cut into bins."""
        return values >= EXACT_BELOW

    def _threshold(self, spec: MonitoringSpec, of_reference: Callable[[], list[float]]) -> float | None:
        """Return the declared threshold, or one learned from the reference's own chunks."""
        if not self.takes_threshold:
            return None
        value = spec.method_thresholds.get(self.name)
        if value is None:
            own = np.array(of_reference())
            value = float(np.nanmean(own) + np.nanstd(own) * SPREADS)
        return value if self.greatest is None else min(value, self.greatest)


def _coded(sample: pl.Series, analysis: pl.Series) -> tuple[pl.Series, pl.Series, int]:
    """Return categories as integers over one vocabulary, and how many there are."""
    vocabulary = pl.concat([sample, analysis]).drop_nulls().unique().sort()
    of = pl.Enum(vocabulary)
    return sample.cast(of).to_physical(), analysis.cast(of).to_physical(), len(vocabulary)


def _counts(codes: pl.Series, categories: int) -> np.ndarray:
    return np.bincount(codes.drop_nulls().to_numpy(), minlength=categories)


def _chunks(frame: pl.DataFrame) -> tuple[list[int], list[int]]:
    """Return the chunks of a frame sorted by them, and the edges of their rows."""
    runs = frame.select(pl.col(CHUNK).rle()).unnest(CHUNK)
    return runs["value"].to_list(), [0, *runs["len"].cum_sum()]


class KolmogorovSmirnov(UnivariateStatistic):
    """The greatest difference of two distribution functions."""

    name, numeric, greatest = "kolmogorov_smirnov", True, 1.0

    def of_numbers(self, reference: np.ndarray) -> Compare:
        """Compare exactly, or at the edges of bins of equal width."""
        if self.is_binned(len(reference)):
            return self._in_bins(reference)
        ordered, size = np.sort(reference), len(reference)

        def compare(values: np.ndarray) -> Compared:
            values = np.sort(values)
            every = np.concatenate([ordered, values])
            ranks = np.searchsorted(ordered, every, "right") / size - np.searchsorted(values, every, "right") / len(
                values
            )
            # A multiple of the least common one, as SciPy rounds it: what is added up is off in the last digits.
            common = lcm(size, len(values))
            return round(float(np.abs(ranks).max()) * common) / common, None

        return compare

    def _in_bins(self, reference: np.ndarray) -> Compare:
        counts, edges = np.histogram(reference, np.linspace(reference.min(), reference.max(), EXACT_BELOW + 1))
        below = np.cumsum(counts / len(reference))

        def compare(values: np.ndarray) -> Compared:
            shares = np.histogram(values, edges)[0] / len(values)
            before = np.count_nonzero(values < edges[0]) / len(values)
            return float(np.abs(below - (before + np.cumsum(shares))).max()), None

        return compare


class Wasserstein(UnivariateStatistic):
    """The area between two distribution functions, in the feature's unit."""

    name, numeric = "wasserstein", True

    def of_numbers(self, reference: np.ndarray) -> Compare:
        """Compare exactly, or in bins of equal width, with what lies beyond them on either side added."""
        if self.is_binned(len(reference)):
            return self._in_bins(reference)
        from scipy.stats import wasserstein_distance

        return lambda values: (float(wasserstein_distance(reference, values)), None)

    def _in_bins(self, reference: np.ndarray) -> Compare:
        counts, edges = np.histogram(reference, bins=EXACT_BELOW)
        below, width = np.cumsum(counts / len(reference)), edges[1] - edges[0]

        def compare(values: np.ndarray) -> Compared:
            smaller, bigger = values[values < edges[0]], values[values > edges[-1]]
            # NannyML counts the end of the bins as a row beyond it, which is kept for its values to be the same.
            left, right = ((len(part) + 1) / len(values) if part.size else 0.0 for part in (smaller, bigger))
            now = np.cumsum(np.histogram(values, edges)[0] / len(values)) + left
            area = float(np.sum(np.abs(below - now) * width))
            if smaller.size:
                places, shares = _distribution(np.append(smaller, edges[0]))
                area += float(np.sum(shares[:-1] * np.diff(places)) * left)
            if bigger.size:
                places, shares = _distribution(np.append(edges[-1], bigger))
                area += float(np.sum((1 - shares)[:-1] * np.diff(places)) * right)
            return area, None

        return compare


def _distribution(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different values in order, and the share of rows up to each."""
    places, counts = np.unique(values, return_counts=True)
    return places, np.cumsum(counts) / len(values)


class SharesDistance(UnivariateStatistic):
    """A distance between shares of rows: by category, or in bins of equal width that Doane's rule gives (D. P. Doane,
    Aesthetic Frequency Classifications, The American Statistician 30, 1976). What the reference has not is one more."""

    numeric = text = True

    def between(self, expected: np.ndarray, actual: np.ndarray) -> float:
        """Return the distance between two arrays of shares, each of sum 1."""
        raise NotImplementedError

    def is_binned(self, values: int) -> bool:  # noqa: ARG002
        """Numbers are cut into bins, however few they are."""
        return True

    def of_numbers(self, reference: np.ndarray) -> Compare:
        """Compare shares in the reference's bins."""
        edges = np.histogram_bin_edges(reference, bins="doane")
        expected = np.histogram(reference, edges)[0] / len(reference)
        return lambda values: self._compare(expected, np.histogram(values, edges)[0] / len(values))

    def of_counts(self, reference: np.ndarray) -> Compare:
        """Compare shares of the reference's categories."""
        there = reference > 0
        expected = reference[there] / reference.sum()
        return lambda counts: self._compare(expected, counts[there] / counts.sum())

    def _compare(self, expected: np.ndarray, actual: np.ndarray) -> Compared:
        elsewhere = 1 - actual.sum()
        if elsewhere > 0:
            expected, actual = np.append(expected, 0), np.append(actual, elsewhere)
        return self.between(expected, actual), None


class JensenShannon(SharesDistance):
    """The square root of the Jensen-Shannon divergence in bits (D. M. Endres, J. E. Schindelin, A New Metric for
    Probability Distributions, IEEE Transactions on Information Theory 49, 2003), 0 to 1."""

    name = "jensen_shannon"

    def between(self, expected: np.ndarray, actual: np.ndarray) -> float:
        """Return the distance."""
        from scipy.special import rel_entr

        expected, actual = expected / expected.sum(), actual / actual.sum()
        middle = (expected + actual) / 2.0
        nats = rel_entr(expected, middle).sum() + rel_entr(actual, middle).sum()
        return float(np.sqrt(max(nats / np.log(2), 0.0) / 2.0))


class Hellinger(SharesDistance):
    """The Euclidean distance between the square roots of shares, 0 to 1."""

    name = "hellinger"

    def between(self, expected: np.ndarray, actual: np.ndarray) -> float:
        """Return the distance."""
        return float(np.sqrt(np.sum((np.sqrt(expected) - np.sqrt(actual)) ** 2)) / np.sqrt(2))


class ChiSquared(UnivariateStatistic):
    """The statistic of Pearson's chi-squared test that categories and period are independent; it alerts at p < 0.05."""

    name, text, takes_threshold = "chi2", True, False

    def of_counts(self, reference: np.ndarray) -> Compare:
        """Test the categories that either has."""

        def compare(counts: np.ndarray) -> Compared:
            table = np.stack([reference, counts], axis=1)
            statistic, by_chance = _independence(table[table.sum(axis=1) > 0])
            return statistic, by_chance < _SIGNIFICANT

        return compare


def _independence(table: np.ndarray) -> tuple[float, float]:
    """Return Pearson's statistic of counts, shape (k, 2) without a row or column of zeros, and its p-value.

    With Yates' correction for continuity where there are two categories, and to the last bit what SciPy's
    ``chi2_contingency`` gives, the import of which takes a second.
    """
    from scipy.special import chdtrc

    freedom = len(table) - 1
    if freedom == 0:
        return 0.0, 1.0
    counted = table.astype(np.float64)
    rows, columns = counted.sum(axis=1, keepdims=True), counted.sum(axis=0, keepdims=True)
    expected = rows * columns / counted.sum()
    if freedom == 1:
        off = expected - counted
        counted += np.minimum(0.5, np.abs(off)) * np.sign(off)
    statistic = float(np.sum((counted - expected) ** 2 / expected))
    return statistic, float(chdtrc(freedom, statistic))


class LInfinity(UnivariateStatistic):
    """The greatest difference of a category's share."""

    name, text = "l_infinity", True

    def of_counts(self, reference: np.ndarray) -> Compare:
        """Compare the shares of the categories that either has."""
        expected = reference / reference.sum()
        return lambda counts: (float(np.abs(expected - counts / counts.sum()).max()), None)


KOLMOGOROV_SMIRNOV = KolmogorovSmirnov()
JENSEN_SHANNON = JensenShannon()
WASSERSTEIN = Wasserstein()
HELLINGER = Hellinger()
CHI2 = ChiSquared()
L_INFINITY = LInfinity()
