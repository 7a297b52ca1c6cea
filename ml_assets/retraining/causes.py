"""Which features may be behind a loss: those that moved, and that the model listens to."""

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.monitoring.drift.impact import rank_by_impact

CANDIDATES = 10


class Cause(BaseModel):
    """One feature that may explain a change in the model's performance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str = Field(description="Name.")
    psi: float = Field(description="Population stability index over the drop.")
    contribution: float = Field(description="Share of the mean absolute SHAP contributions over all features, 0 to 1.")
    weight: float = Field(description="psi * contribution, by which candidates are ranked.")


def rank_causes(drift: pl.DataFrame, contributions: pl.DataFrame, threshold: float) -> list[Cause]:
    """Return features above the PSI ``threshold`` by PSI times contribution, strongest first, ten at most.

    Args:
        drift: of one drop, as ``measure_drift`` returns it.
        contributions: feature, share; as ``training.explain.explain`` returns it.
    """
    moved = rank_by_impact(drift, contributions).filter(pl.col("psi") > threshold, pl.col("share").is_not_null())
    return [
        Cause(feature=feature, psi=psi, contribution=share, weight=impact)
        for feature, psi, share, impact in moved.head(CANDIDATES)
        .select("feature", "psi", "share", "impact")
        .iter_rows()
    ]
