"""Seeded samples of rows."""

import numpy as np
import polars as pl


def sample_rows(frame: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    """Return at most ``rows`` rows, drawn without replacement, in their order."""
    if frame.height <= rows:
        return frame
    picked = np.random.default_rng(seed).choice(frame.height, rows, replace=False, shuffle=False)
    return frame[np.sort(picked)]
