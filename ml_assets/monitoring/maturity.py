"""Labels that come late: until when a drop is measured again, and what of it says enough about the performance."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import check_duration, format_duration, parse_duration

if TYPE_CHECKING:
    import polars as pl


class MaturitySpec(BaseModel):
    """How long to wait for labels, and how many of them are enough."""

    model_config = ConfigDict(extra="forbid")

    complete: float = Field(
        default=0.95,
        description="Share of a drop's labels known, above 0 and at most 1, from which it is not measured again.",
    )
    matured: float = Field(
        default=0.8,
        description="Share of a chunk's labels known, above 0 and at most 1, from which its realised performance counts"
        " as evidence and can alert: labels that come first are no fair sample of all.",
    )
    until: str = Field(
        default="90d",
        description="How long labels are waited for once they can be known, which of a declared outcome is after its"
        " window, or the row's longest horizon, and what it takes to settle: a drop that ended longer ago is not"
        " measured again, and a chunk that ended longer ago counts as matured by what is known of it, if anything is.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "MaturitySpec":
        check_duration("until", self.until)
        for field in ("complete", "matured"):
            if not 0 < getattr(self, field) <= 1:
                raise ValueError(f"{field}: {getattr(self, field)} is no share above 0 and up to 1")
        return self

    @property
    def until_time(self) -> timedelta:
        return parse_duration(self.until)

    def after(self, delay: timedelta) -> "MaturitySpec":
        """Return the same for labels that cannot be known before a delay has passed: that long more is waited."""
        return self.model_copy(update={"until": format_duration(self.until_time + delay)}) if delay else self

    def waits(self, ended: datetime, as_of: datetime) -> bool:
        """Return whether labels of what ended at a moment are still waited for."""
        return as_of - ended <= self.until_time


def known_share() -> "pl.Expr":
    """Return the share of scored rows whose label is known, in realised rows; null where no row was scored."""
    import polars as pl

    rows = pl.col("rows")
    scored = rows + pl.col("missing").fill_null(0)
    return pl.when(scored > 0).then(rows / scored)


def is_matured(spec: MaturitySpec, as_of: datetime | None = None) -> "pl.Expr":
    """Return whether a realised row says enough: by the share of labels known, or by its age where any is known;
    without ``as_of`` by the share alone."""
    import polars as pl

    enough = known_share() >= spec.matured
    if as_of is None:
        return enough.fill_null(True)
    old = (pl.lit(as_of) - pl.col("chunk_end")) > spec.until_time
    return (enough | (old & (pl.col("rows") > 0))).fill_null(True)


def completeness(measures: "pl.DataFrame", by: str, spec: MaturitySpec, min_rows: int) -> "pl.DataFrame":
    """Return of each drop how many labels were known when it was measured, and whether these are enough to stop.

    Args:
        measures: one measure of each drop, of which the realised rows of chunks and of the whole count.
        by: column that names the drop.
        min_rows: rows from which a chunk counts: each has to be matured as well.

    Returns:
        ``by``, known (Int64) and complete (Boolean); in the order of drops.
    """
    import polars as pl

    realised = measures.filter(pl.col("scope").is_in(["chunk", "period"]), kind="realised")
    realised = realised.with_columns(share=known_share())
    whole = pl.col("scope") == "period"
    large = (pl.col("rows") + pl.col("missing").fill_null(0)) >= min_rows
    enough = pl.when(whole).then(pl.col("share") >= spec.complete).otherwise(pl.col("share") >= spec.matured)
    return (
        realised.group_by(by)
        .agg(
            known=pl.col("rows").filter(whole).max().fill_null(0),
            complete=(enough | ~(whole | large)).fill_null(True).all(),
        )
        .sort(by)
    )
