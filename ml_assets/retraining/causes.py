"""Which features may be behind a loss: those that moved, and that the model listens to."""

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

CANDIDATES = 10


class Cause(BaseModel):
    """One feature that may explain a change in the model's performance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str = Field(description="Name.")
    psi: float = Field(description="Population stability index over the drop.")
    contribution: float = Field(description="Share of the mean absolute SHAP contributions over all features, 0 to 1.")
    weight: float = Field(description="psi * contribution, by which candidates are ranked.")


def rank_causes(drift: pl.DataFrame, contributions: pl.DataFrame, threshold: float) -> list[Cause]:
    """Features above the PSI ``threshold`` by PSI times contribution, strongest first, ten at most.

    Args:
        drift: of one drop, as ``measure_drift`` returns it.
        contributions: feature, share; as ``training.explain.explain`` returns it.
    """
    moved = drift.filter(method="psi", scope="period").filter(pl.col("value") > threshold)
    weighed = moved.join(contributions, on="feature").with_columns(weight=pl.col("value") * pl.col("share"))
    ranked = weighed.sort("weight", "feature", descending=[True, False]).head(CANDIDATES)
    return [
        Cause(feature=feature, psi=psi, contribution=share, weight=weight)
        for feature, psi, share, weight in ranked.select("feature", "value", "share", "weight").iter_rows()
    ]
