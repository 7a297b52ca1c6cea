"""A column's grid as bytes, to be kept beside the reference that it was learned from."""

import numpy as np

from ml_assets.profiles.encoding import Reader, Writer
from ml_assets.profiles.grid import NumberGrid, TextGrid

_VERSION = 1
_NUMBER, _TEXT = 0, 1


def grid_to_bytes(grid: NumberGrid | TextGrid) -> bytes:
    """Return a column's grid as bytes; it holds values of the reference, those of a private column too."""
    to = Writer()
    if isinstance(grid, NumberGrid):
        to.raw(bytes([grid.private, grid.widths is not None]))
        to.short(len(grid.cuts))
        to.floats(*grid.cuts.tolist())
        to.counts(grid.breaks)
        to.counts(np.empty(0, np.int64) if grid.widths is None else grid.widths)
        to.text(grid.why_not)
        return bytes([_VERSION, _NUMBER]) + to.to_bytes()
    texts = [category.encode() for category in grid.categories]
    to.raw(bytes([grid.private]))
    to.counts(np.array([len(text) for text in texts], np.int64))
    to.raw(b"".join(texts))
    return bytes([_VERSION, _TEXT]) + to.to_bytes()


def grid_from_bytes(content: bytes) -> NumberGrid | TextGrid:
    """Return what ``grid_to_bytes`` has written.

    Raises:
        ValueError: the bytes are none, or of a later version.
    """
    if len(content) < 3 or content[0] != _VERSION or content[1] not in (_NUMBER, _TEXT):
        raise ValueError("these bytes are no grid, or one of a later version of ml_assets")
    of = Reader(content[2:])
    if content[1] == _NUMBER:
        private, cut = of.raw(2)
        cuts = np.array(of.floats(of.short()))
        breaks, widths = of.counts(), of.counts()
        return NumberGrid(cuts, breaks, widths if cut else None, of.text(), bool(private))
    private = bool(of.raw(1)[0])
    return TextGrid(tuple(of.raw(length).decode() for length in of.counts().tolist()), private)
