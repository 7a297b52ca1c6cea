"""The flights without a platform: Polars, XGBoost and Optuna, nothing kept, nothing checked.

What a data scientist would write to answer the same question as `ml-assets run flights`, and what
`benchmarks/lifecycle.py` measures the platform against: the same files, the same features under the same names, the
same split, search and model, the same months scored. Run `python benchmarks/plain_script.py [--json]`.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import perf_counter

import numpy as np
import optuna
import polars as pl
import xgboost as xgb
from plain_features import KEYS, build_features, build_tables, read_files
from sklearn.metrics import roc_auc_score

CUT_OFF = datetime(2013, 10, 1, tzinfo=UTC)
VALIDATION, HOLDOUT, GAP = timedelta(days=21), timedelta(days=28), timedelta(days=2)
SEED = 13
TRIALS, SEARCH_ROWS, SEARCH_ROUNDS = 10, 30_000, 100
RANDOM_TRIALS, PRUNE_AFTER, REPORT_EVERY = 5, 20, 10
ROUNDS, EARLY_STOPPING_ROUNDS, MAX_BIN = 1000, 30, 128


def split(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Train, validation and holdout by prediction time, each with the labels known before the next one begins."""
    holdout = CUT_OFF - GAP - HOLDOUT
    validation = holdout - GAP - VALIDATION
    limits = {
        "train": (datetime(1, 1, 1, tzinfo=UTC), validation - GAP, validation),
        "validation": (validation, holdout - GAP, holdout),
        "holdout": (holdout, CUT_OFF - GAP, CUT_OFF),
    }
    at, known = pl.col("prediction_at"), pl.col("arrived_at")
    labelled = rows.filter(pl.col("is_late").is_not_null())
    return {
        part: labelled.filter(at >= start, at < end, known <= known_by)
        for part, (start, end, known_by) in limits.items()
    }


class Encoder:
    """Features as XGBoost sees them, categories by their place in the training rows' sorted vocabulary."""

    def __init__(self, train: pl.DataFrame):
        self.features = [name for name in train.columns if name not in KEYS]
        text = [name for name in self.features if train.schema[name] == pl.String]
        self.vocabulary = {name: pl.Enum(train[name].unique().drop_nulls().sort()) for name in text}
        self.types = ["c" if name in text else "q" for name in self.features]

    def encode(self, rows: pl.DataFrame) -> np.ndarray:
        codes = [pl.col(name).cast(known, strict=False).to_physical() for name, known in self.vocabulary.items()]
        return rows.with_columns(codes).select(pl.col(self.features).cast(pl.Float32)).to_numpy(order="c")


def encode_both(train: pl.DataFrame, validation: pl.DataFrame) -> tuple[Encoder, xgb.QuantileDMatrix, xgb.DMatrix]:
    encoder = Encoder(train)
    known = {"feature_names": encoder.features, "feature_types": encoder.types, "enable_categorical": True}
    binned = xgb.QuantileDMatrix(encoder.encode(train), label=train["is_late"], max_bin=MAX_BIN, **known)
    return encoder, binned, xgb.DMatrix(encoder.encode(validation), label=validation["is_late"], **known)


def boost(train: xgb.QuantileDMatrix, validation: xgb.DMatrix, parameters: dict, rounds: int, callbacks=()):
    """Trees until the validation AUC stops rising, cut back to the best round."""
    fixed = {"objective": "binary:logistic", "eval_metric": "auc", "tree_method": "hist", "max_bin": MAX_BIN}
    stop = xgb.callback.EarlyStopping(
        rounds=EARLY_STOPPING_ROUNDS, metric_name="auc", data_name="validation", maximize=True, save_best=True
    )
    evals = [(validation, "validation")]
    parameters = {**parameters, **fixed, "seed": SEED}
    return xgb.train(parameters, train, rounds, evals=evals, callbacks=[stop, *callbacks], verbose_eval=False)


class Pruning(xgb.callback.TrainingCallback):
    """Give a trial up that falls behind."""

    def __init__(self, trial: optuna.Trial):
        self.trial = trial

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict) -> bool:  # noqa: ARG002
        if (epoch + 1) % REPORT_EVERY == 0:
            self.trial.report(evals_log["validation"]["auc"][-1], epoch + 1)
            if self.trial.should_prune():
                raise optuna.TrialPruned()
        return False


def suggest(trial: optuna.Trial) -> dict:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
        "max_depth": trial.suggest_int("max_depth", 3, 8),
        "min_child_weight": trial.suggest_float("min_child_weight", 1, 100, log=True),
        "subsample": trial.suggest_float("subsample", 0.6, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 30, log=True),
        "reg_alpha": trial.suggest_float("reg_alpha", 0.001, 10, log=True),
    }


def search(train: pl.DataFrame, validation: pl.DataFrame) -> dict:
    """The best parameters of a seeded search on a sample of the training rows."""
    picked = np.random.default_rng(SEED).choice(train.height, SEARCH_ROWS, replace=False, shuffle=False)
    sample = train[np.sort(picked)]
    _, *matrices = encode_both(sample, validation)

    def objective(trial: optuna.Trial) -> float:
        return boost(*matrices, suggest(trial), SEARCH_ROUNDS, [Pruning(trial)]).best_score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(RANDOM_TRIALS, n_warmup_steps=PRUNE_AFTER, interval_steps=REPORT_EVERY)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for index in range(TRIALS):
        # Seeded trial by trial as the platform does it, so that both try, and pay for, the same parameters.
        seed = int(np.random.SeedSequence([SEED, index]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
        study.optimize(objective, n_trials=1)
    return study.best_params


def fit(train: pl.DataFrame, validation: pl.DataFrame, parameters: dict) -> tuple[xgb.Booster, Encoder]:
    encoder, *matrices = encode_both(train, validation)
    return boost(*matrices, parameters, ROUNDS), encoder


def auc(model: xgb.Booster, encoder: Encoder, rows: pl.DataFrame, known_by: datetime) -> float:
    """AUC over the rows whose outcome is known by a moment; all rows are scored."""
    scored = rows.with_columns(score=model.inplace_predict(encoder.encode(rows)))
    known = scored.filter(pl.col("is_late").is_not_null(), pl.col("arrived_at") <= known_by)
    return float(roc_auc_score(known["is_late"], known["score"]))


def run() -> dict:
    """Live through the year; returns AUC per month, the tuned parameters and seconds per stage."""
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        begin = perf_counter()
        yield
        seconds[name] = round(perf_counter() - begin, 3)

    with stage("read"):
        files = read_files()
    with stage("tables"):
        tables = build_tables(files)
    with stage("features"):
        rows = build_features(tables)
    with stage("training set"):
        parts = split(rows)
    with stage("search"):
        parameters = search(parts["train"], parts["validation"])
    with stage("fit"):
        model, encoder = fit(parts["train"], parts["validation"], parameters)
    with stage("score"):
        measured = {"holdout": auc(model, encoder, parts["holdout"], CUT_OFF)}
        for (month,), scored in rows.filter(pl.col("drop_month") >= "2013-10").group_by(
            "drop_month", maintain_order=True
        ):
            end = datetime.fromisoformat(f"{month}-01T00:00:00Z")
            measured[month] = auc(model, encoder, scored, (end + timedelta(days=32)).replace(day=1))
    return {"auc": measured, "parameters": parameters, "trees": model.num_boosted_rounds(), "seconds": seconds}


def main() -> None:
    told = run()
    if "--json" in sys.argv[1:]:
        print(json.dumps(told))  # noqa: T201
        return
    for title in ("seconds", "parameters", "auc"):
        print(title, *(f"  {name:<18} {value:.4f}" for name, value in told[title].items()), sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
