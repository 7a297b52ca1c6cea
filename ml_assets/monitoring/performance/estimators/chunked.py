"""One of NannyML's estimators, fitted on a reference and evaluated per chunk and over all rows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import polars as pl

from ml_assets.monitoring.chunks import CHUNK

_FIELDS = {"value": "value", "lower": "lower_confidence_boundary", "upper": "upper_confidence_boundary"}


def estimate_chunks(
    estimator, reference: pl.DataFrame, analysis: pl.DataFrame, metrics: Mapping[str, str], seed: int
) -> pl.DataFrame:
    """Fit an estimator once, and estimate the chunks and the whole period with it.

    Args:
        estimator: what NannyML offers, made inside ``nml.calls``, with ``nml.run_chunker(CHUNK)``.
        reference, analysis: sorted by CHUNK.
        metrics: our name -> NannyML's.

    Returns:
        CHUNK (null: all rows as one chunk), metric, value, lower, upper (Float64).
    """
    with _seeded(seed):
        # As one chunk: NannyML makes of several only thresholds, which nothing reads, and estimates of the reference.
        estimator.fit(reference.with_columns(pl.lit(0, pl.Int64).alias(CHUNK)).to_pandas())
        if analysis[CHUNK].n_unique() == 1:
            single = _long(estimator.estimate(analysis.to_pandas()).filter(period="analysis").to_df(), metrics)
            return pl.concat([single, single.with_columns(pl.lit(None, pl.Int64).alias(CHUNK))])
        by_chunk = estimator.estimate(analysis.to_pandas()).filter(period="analysis").to_df()
        together = analysis.with_columns(pl.lit(0, pl.Int64).alias(CHUNK))
        over_all = estimator.estimate(together.to_pandas()).filter(period="analysis").to_df()
    whole = _long(over_all, metrics).with_columns(pl.lit(None, pl.Int64).alias(CHUNK))
    return pl.concat([_long(by_chunk, metrics), whole])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which NannyML resamples with, and restore its state afterwards."""
    import numpy as np

    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _long(result, metrics: Mapping[str, str]) -> pl.DataFrame:
    keys = result[("chunk", "key")].to_numpy(dtype="int64")
    return pl.concat(
        pl.DataFrame(
            {CHUNK: keys, **{ours: result[(named, theirs)].to_numpy("float64") for ours, theirs in _FIELDS.items()}}
        ).select(CHUNK, pl.lit(metric).alias("metric"), *(pl.col(name).fill_nan(None) for name in _FIELDS))
        for metric, named in metrics.items()
    )
