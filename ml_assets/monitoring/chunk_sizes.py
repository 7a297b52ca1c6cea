"""Chunks of too few rows: they are measured, and neither alert nor count as evidence."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class ChunkSizes:
    """Chunks of a drop, those of them with fewer rows than count, and the rows from which one does."""

    chunks: int
    small: int
    least: int

    @property
    def unwatched(self) -> bool:
        """Whether no chunk is large enough, so that nothing about the drop alerts or counts."""
        return 0 < self.chunks == self.small

    @property
    def sentence(self) -> str:
        """What is not watched, and what to do; empty where every chunk is large enough."""
        if not self.small:
            return ""
        fewer = f"fewer than {self.least:,} rows (`monitoring.min_chunk_rows`)"
        if not self.unwatched:
            several = self.small > 1
            return (
                f"{self.small} of {self.chunks} chunks {'have' if several else 'has'} {fewer}: what is measured of "
                f"{'them' if several else 'it'} neither alerts nor counts as evidence."
            )
        what = "the only chunk has" if self.chunks == 1 else f"each of the {self.chunks} chunks has"
        return (
            f"Not watched: {what} {fewer}, so nothing here alerts or counts as evidence. Lower "
            "`monitoring.min_chunk_rows`, or make `monitoring.chunk` longer."
        )


def measure_chunks(report: "pl.DataFrame", least: int) -> ChunkSizes:
    """Count the chunks of one drop's performance or drift, and those of fewer rows than `least`.

    Args:
        report: rows with scope, chunk_start and rows; of realised performance also missing, the rows without a label.
    """
    import polars as pl

    rows = pl.col("rows") + (pl.col("missing").fill_null(0) if "missing" in report.columns else 0)
    sizes = report.filter(scope="chunk").group_by("chunk_start").agg(rows=rows.max())["rows"]
    return ChunkSizes(len(sizes), int((sizes < least).sum()), least)
