"""The profiles that univariate drift is computed of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce

import polars as pl

from ml_assets.monitoring.chunks import chunk_runs
from ml_assets.monitoring.inputs import Features
from ml_assets.profiles import Grid, Profile, profile


@dataclass(frozen=True)
class ReferenceProfiles:
    """What the reference was like: where its values are counted, and each of its chunks."""

    grid: Grid
    chunks: Mapping[int, Profile]

    @cached_property
    def whole(self) -> Profile:
        """All chunks together."""
        return reduce(Profile.merge, self.chunks.values())

    @classmethod
    def of(
        cls, reference: pl.DataFrame, features: Features, quantiles: int, private: Collection[str] = ()
    ) -> "ReferenceProfiles":
        """Profile a reference that is sorted by CHUNK."""
        hidden = {*private} & {*features.all}
        grid = Grid.of(reference.select(features.all), quantiles=quantiles, private=hidden)
        return cls(grid, by_chunk(reference, grid))


@dataclass(frozen=True)
class DriftProfiles:
    """A reference, and the chunks of a period beside it, on one grid."""

    known: ReferenceProfiles
    chunks: Mapping[int, Profile]

    @classmethod
    def of(cls, reference: pl.DataFrame, analysis: pl.DataFrame, features: Features, quantiles: int) -> "DriftProfiles":
        """Profile frames that are sorted by CHUNK."""
        known = ReferenceProfiles.of(reference, features, quantiles)
        return cls(known, by_chunk(analysis, known.grid))

    @property
    def grid(self) -> Grid:
        """Where values are counted."""
        return self.known.grid

    @property
    def reference(self) -> Profile:
        """All rows of the reference."""
        return self.known.whole

    @property
    def of_reference(self) -> list[Profile]:
        """Its chunks."""
        return [*self.known.chunks.values()]

    @cached_property
    def whole(self) -> Profile:
        """All rows of the period."""
        return reduce(Profile.merge, self.chunks.values())


def by_chunk(frame: pl.DataFrame, grid: Grid) -> dict[int, Profile]:
    """Profile each chunk of a frame that is sorted by CHUNK."""
    return {chunk: profile(frame.slice(start, length), grid) for chunk, start, length in chunk_runs(frame)}
