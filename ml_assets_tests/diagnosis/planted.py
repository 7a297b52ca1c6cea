"""A made-up model on made-up rows, with a known cause planted in the later ones."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from ml_assets.diagnosis.causes.upstream import Origin, SourceColumn, UpstreamEvent
from ml_assets.diagnosis.subject import Subject
from ml_assets.training.tasks import find_task
from ml_assets.training.tasks.columns import PREDICTION, SCORE, ScoredColumns

FEATURES = ["speed", "weight", "humidity", "temperature", "stock", "shop", "region", "idle"]
SHOPS = {"a": 0.5, "b": -0.5, "c": 0.2, "d": 0.0, "e": -0.2}
DAYS = 28
ORIGINS = {
    "temperature": Origin("hourly_weather", (SourceColumn(source="weather", column="temp"),)),
    "humidity": Origin("hourly_weather", (SourceColumn(source="weather", column="humid"),)),
    "stock": Origin("stock_levels", (SourceColumn(source="warehouse", column="units"),)),
    "speed": Origin("machines/validated", (SourceColumn(source="machines", column="speed"),)),
    "idle": Origin("machines/validated", (SourceColumn(source="machines", column="idle"),)),
}
WAREHOUSE_LATE = UpstreamEvent(
    source="warehouse", drop="2026-02", kind="late", text="the delivery 2026-02 came 3 days after the predictions"
)
MACHINES_LATE = UpstreamEvent(
    source="machines", drop="2026-02", kind="late", text="the delivery 2026-02 came 1 day after the predictions"
)
WEATHER_QUARANTINE = UpstreamEvent(
    source="weather", drop="2026-02", kind="quarantined", text="9 % of rows in quarantine", observed=0.09, usual=0.01
)


def logit(rows: pl.DataFrame) -> np.ndarray:
    """What the model has learned: a missing stock counts as the usual one."""
    stock = rows["stock"].fill_null(0.0).to_numpy()
    shop = rows["shop"].replace_strict(SHOPS, return_dtype=pl.Float64).to_numpy()
    weather = 0.12 * (rows["temperature"].to_numpy() - 15)
    return 1.0 * rows["speed"].to_numpy() + 0.7 * rows["weight"].to_numpy() + weather + 1.8 * stock + shop


def sigmoid(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-value))


def predict(rows: pl.DataFrame) -> pl.DataFrame:
    score = sigmoid(logit(rows))
    return rows.with_columns(pl.Series(SCORE, score), pl.Series(PREDICTION, (score >= 0.5).astype(np.int64)))


def draw(rng: np.random.Generator, rows: int, start: datetime) -> pl.DataFrame:
    minutes = np.sort(rng.integers(0, DAYS * 24 * 60, rows))
    frame = pl.DataFrame(
        {
            "at": [start + timedelta(minutes=int(minute)) for minute in minutes],
            **{name: rng.normal(size=rows) for name in ("speed", "weight", "humidity", "stock", "idle")},
            "temperature": rng.normal(15, 6, rows),
            "shop": rng.choice(list(SHOPS), rows),
            "region": rng.choice(["north", "south", "west"], rows),
        }
    )
    return frame.with_columns(label=pl.Series((rng.random(rows) < sigmoid(logit(frame))).astype(np.int64)))


def periods(seed: int, rows: int = 4_000) -> tuple[np.random.Generator, pl.DataFrame, pl.DataFrame]:
    """The reference, and as many later rows of the same kind; neither is scored yet."""
    rng = np.random.default_rng(seed)
    return rng, draw(rng, rows, datetime(2026, 1, 1)), draw(rng, rows, datetime(2026, 2, 1))


def with_slice(rng: np.random.Generator, later: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """Turn the relation around for some rows: what was likely is unlikely."""
    turned = pl.Series((rng.random(later.height) < sigmoid(-1.5 * logit(later))).astype(np.int64))
    return later.with_columns(label=pl.when(where).then(turned).otherwise("label"))


def with_idle_shift(later: pl.DataFrame) -> pl.DataFrame:
    """Move a feature that nothing depends on."""
    return later.with_columns(pl.col("idle") * 1.3 + 1.5)


def with_fahrenheit(later: pl.DataFrame) -> pl.DataFrame:
    return later.with_columns(pl.col("temperature") * 1.8 + 32)


def with_stock_missing(rng: np.random.Generator, later: pl.DataFrame, share: float = 0.6) -> pl.DataFrame:
    gone = pl.Series(rng.random(later.height) < share)
    return later.with_columns(stock=pl.when(gone).then(None).otherwise("stock"))


def subject(events: Sequence[UpstreamEvent] = (), *, rescores: bool = False, metric: str = "roc_auc") -> Subject:
    return Subject(
        task=find_task("binary"),
        columns=ScoredColumns("label"),
        metric=metric,
        time="at",
        features=FEATURES,
        slices=("region",),
        origins=ORIGINS,
        events=events,
        rescore=predict if rescores else None,
    )
