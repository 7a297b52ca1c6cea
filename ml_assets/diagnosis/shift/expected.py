"""What rows lose whose labels are not known yet, by what the reference lost on rows alike."""

from dataclasses import replace

import numpy as np

from ml_assets.diagnosis.rows import ComparedRows
from ml_assets.diagnosis.shift.overlap import FOLDS, feature_matrix, time_folds

_ROUNDS = 60


def expect_losses(rows: ComparedRows, seed: int, threads: int = 1) -> ComparedRows:
    """Replace the losses of both periods by expected ones: boosted trees learn the reference's from its features.

    The reference's rows are estimated by trees that were learned from its other blocks of time, the later rows by the
    mean of all of these, so that both are estimated alike. Nothing of a changed relation is in them.
    """
    import lightgbm as lgb

    matrix, categorical = feature_matrix(rows)
    before, now = matrix[: rows.reference.rows], matrix[rows.reference.rows :]
    fold, parameters = time_folds(rows.reference.block, seed), _parameters(seed, threads)
    then, later = np.full(len(before), rows.reference.loss.mean()), []
    for held in range(FOLDS):
        learned, out = fold != held, fold == held
        if not out.any() or not learned.any():
            continue
        data = lgb.Dataset(
            before[learned], rows.reference.loss[learned], categorical_feature=categorical, params=parameters
        )
        booster = lgb.train(parameters, data, num_boost_round=_ROUNDS)
        then[out] = booster.predict(before[out], num_threads=threads)
        later.append(booster.predict(now, num_threads=threads))
    return replace(
        rows,
        reference=replace(rows.reference, loss=then),
        current=replace(rows.current, loss=np.mean(later, axis=0)),
    )


def _parameters(seed: int, threads: int) -> dict[str, object]:
    return {
        "objective": "regression",
        "num_leaves": 15,
        "learning_rate": 0.1,
        "min_data_in_leaf": 50,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
