"""What usually happened in the training rows: naive predictions that a task learns."""

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

PRIOR_ROWS = 20  # a rate seen on few rows is drawn towards the overall rate, as if by this many rows of it


class Baseline(BaseModel):
    """What usually happened in the training rows: the rate of positives, or a usual value of the label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(description="Share of positives, or the usual value, among all training rows.")
    by: str | None = Field(default=None, description="Column whose values have rates of their own.")
    rates: dict[str, float] = Field(default_factory=dict, description="Value as text -> its smoothed rate.")
    column: str | None = Field(default=None, description="Column that holds the prediction of the rows that have one.")


class ClassBaseline(BaseModel):
    """How often each class occurred in the training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = Field(description="Classes in the order of the frequencies.")
    rate: tuple[float, ...] = Field(description="Share of each class among all training rows.")
    by: str | None = Field(default=None, description="Column whose values have frequencies of their own.")
    rates: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="Value as text -> smoothed shares of the classes."
    )


def fit_rates(train: pl.DataFrame, outcome: pl.Expr, by: str | None = None, quantile: float | None = None) -> Baseline:
    """Learn a constant to predict: the mean of ``outcome``, or a quantile of it, of all rows and of each value of
    ``by``."""
    usual = outcome.mean() if quantile is None else outcome.quantile(quantile, "linear")
    mass = outcome.sum() if quantile is None else usual * pl.len()
    rate = train.select(usual).item()
    return Baseline(rate=rate) if by is None else Baseline(rate=rate, by=by, rates=_smoothed(train, by, mass, rate))


def fit_class_rates(train: pl.DataFrame, label: str, by: str | None, classes: tuple[str, ...]) -> ClassBaseline:
    """Learn the share of each class, of all rows and of each value of ``by``."""
    hits = [(pl.col(label).cast(pl.String) == name).alias(f"{at}") for at, name in enumerate(classes)]
    overall = train.select(hit.mean() for hit in hits).row(0)
    if by is None:
        return ClassBaseline(classes=classes, rate=overall)
    columns = [_smoothed(train, by, hit.sum(), rate) for hit, rate in zip(hits, overall, strict=True)]
    rates = {value: tuple(column[value] for column in columns) for value in columns[0]}
    return ClassBaseline(classes=classes, rate=overall, by=by, rates=rates)


def _smoothed(train: pl.DataFrame, by: str, mass: pl.Expr, rate: float) -> dict[str, float]:
    """Return smoothed rates by value; ``mass`` is a value's own rate times its rows."""
    rates = train.group_by(pl.col(by).cast(pl.String)).agg((mass + PRIOR_ROWS * rate) / (pl.len() + PRIOR_ROWS))
    return dict(rates.drop_nulls().sort(by).iter_rows())
