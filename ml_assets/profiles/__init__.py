"""Profiles: what a column's rows were like, in at most 4 KiB, so that two sets of rows are compared without them.

``Grid.of(reference)`` fixes once where values are counted; ``profile(rows, grid)`` counts a frame, a lazy frame or
batches of one; profiles over the same grid merge into that of all their rows, whichever machine or day they come from.
Everything but the moments is then the same to the last bit, and those to rounding.

Counts on fixed cuts serve where a quantile sketch would be usual: population stability index, Jensen-Shannon,
Hellinger and chi-squared are exact on them, as the cuts are those statistics' own, and what is not exact has a bound
that follows from the share that a bin holds. Apache DataSketches' KLL takes float32 alone and is exact for none.
"""

from ml_assets.profiles.grid import Grid, NumberGrid, TextGrid
from ml_assets.profiles.numbers import NumberProfile
from ml_assets.profiles.profile import Profile, profile
from ml_assets.profiles.texts import TextProfile

__all__ = ["Grid", "NumberGrid", "NumberProfile", "Profile", "TextGrid", "TextProfile", "profile"]
