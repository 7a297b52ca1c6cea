"""Weights that make the rows of two periods alike in their inputs, and how far that can be done."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.diagnosis.rows import LEAST_BLOCKS, ComparedRows

FOLDS = 3
"""Parts of the rows, each weighed by a classifier that was learned from the others."""
MOST_LEARNED = 20_000
"""Rows that a classifier is learned from; all rows are weighed."""
_ROUNDS, _LEAVES, _RATE, _LEAST_IN_LEAF = 60, 15, 0.1, 50


@dataclass(frozen=True)
class Overlap:
    """How alike the inputs of two periods are, row by row.

    With p and q the densities of the inputs then and now, each row has q / (p + q): about one half where both periods
    have such rows alike, 0 where only the reference has them, 1 where only the later period does.

    Attributes:
        reference: q / (p + q) of each row of the reference, shape (rows,).
        current: the same of the later rows.
    """

    reference: np.ndarray
    current: np.ndarray

    @property
    def share(self) -> float:
        """How much the two distributions have in common: 1 for equal ones, 0 for those that share no row.

        It is 2 * integral of p * q / (p + q), one less half of Le Cam's distance between them.
        """
        return min(float(self.reference.mean() + (1 - self.current).mean()), 1.0)

    @property
    def common(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the rows of either period that give both the inputs that they share."""
        return self.reference, 1 - self.current

    @property
    def as_now(self) -> np.ndarray:
        """Weights of the reference's rows that give them the inputs of the later period: q / p."""
        return self.reference / (1 - self.reference)


def effective_rows(weights: np.ndarray) -> float:
    """Return how many rows of equal weight tell as much: (sum w)^2 / sum w^2, after L. Kish (Survey Sampling, 1965)."""
    squares = float(np.sum(weights**2))
    return float(weights.sum() ** 2) / squares if squares > 0 else 0.0


def estimate_overlap(rows: ComparedRows, seed: int, threads: int = 1) -> Overlap:
    """Estimate q / (p + q) of each row by a classifier of the period, learned from the rows of other blocks of time.

    Boosted shallow trees over the features; both periods weigh alike. What is learned is used on other blocks alone, as
    rows of a block share values by which a classifier would know them again (cross-fitting, V. Chernozhukov et al.,
    Double/Debiased Machine Learning, Econometrics Journal 21, 2018).
    """
    import lightgbm as lgb

    matrix, categorical = feature_matrix(rows)
    period = np.concatenate([np.zeros(rows.reference.rows), np.ones(rows.current.rows)])
    weight = np.where(period > 0, 0.5 / rows.current.rows, 0.5 / rows.reference.rows) * len(period)
    fold = np.concatenate(
        [time_folds(part, seed + at) for at, part in enumerate((rows.reference.block, rows.current.block))]
    )
    # Bins are made once, of both periods alike: they say nothing of the period.
    every = lgb.Dataset(
        matrix,
        period,
        weight=weight,
        categorical_feature=categorical,
        params=_parameters(seed, threads),
        free_raw_data=False,
    ).construct()
    rng, chance = np.random.default_rng(seed), np.full(len(period), 0.5)
    for held in range(FOLDS):
        learned, out = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        if len(learned) > MOST_LEARNED:
            learned = np.sort(rng.choice(learned, MOST_LEARNED, replace=False))
        if not len(out) or len(np.unique(period[learned])) < 2:
            continue
        booster = lgb.Booster(_parameters(seed, threads), every.subset(learned.tolist()))
        for _ in range(_ROUNDS):
            booster.update()
        chance[out] = booster.predict(matrix[out], num_threads=threads)
    chance = np.clip(chance, 1e-4, 1 - 1e-4)
    return Overlap(chance[: rows.reference.rows], chance[rows.reference.rows :])


def _parameters(seed: int, threads: int) -> dict[str, object]:
    return {
        "objective": "binary",
        "num_leaves": _LEAVES,
        "learning_rate": _RATE,
        "min_data_in_leaf": _LEAST_IN_LEAF,
        "min_data_per_group": _LEAST_IN_LEAF,
        "feature_fraction": 0.5,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "feature_pre_filter": False,
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }


def feature_matrix(rows: ComparedRows) -> tuple[np.ndarray, list[int]]:
    """Return the features of the reference's rows and the later ones below each other, and which hold categories."""
    both = pl.concat([rows.reference.frame, rows.current.frame])
    numbers = [pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in rows.features.numeric]
    text = []
    for name in rows.features.text:
        codes = both[name].cast(pl.Enum(both[name].drop_nulls().unique().sort())).to_physical()
        text.append(codes.cast(pl.Float32).fill_null(float("nan")).alias(name))
    return np.ascontiguousarray(both.select(*numbers, *text).to_numpy()), [len(numbers) + at for at in range(len(text))]


def time_folds(block: np.ndarray, seed: int) -> np.ndarray:
    """Return the part that each row is in: whole blocks, where there are enough of them."""
    rng = np.random.default_rng(seed)
    blocks = int(block.max()) + 1
    if blocks < LEAST_BLOCKS:
        return rng.permutation(len(block)) % FOLDS
    return (rng.permutation(blocks) % FOLDS)[block]
