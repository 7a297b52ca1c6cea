"""Plots that a page holds already: what would show the same is not drawn again.

A drop's page is written anew whenever more of its labels have come, which changes nothing about its features. A plot
says by a digest what it shows, and the page keeps the digest beside it.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from ml_assets.features.digests.row_hashes import hash_rows

_FIGURE = re.compile(r'<figure data-shows="([0-9a-f]{64})"><img alt="[^"]*" src="data:image/png;base64,([^"]*)">')


@dataclass(frozen=True)
class Plot:
    """PNG bytes, and the digest of what they show; "" where it is not to be kept."""

    png: bytes
    shows: str = ""

    @property
    def base64(self) -> str:
        """The bytes as a page holds them."""
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class KeptPlots:
    """The plots of one page, by the digest of what they show."""

    by_digest: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of_page(cls, page: str) -> "KeptPlots":
        """Read the plots of a page that ``render_report`` has returned, of this version or an earlier one."""
        return cls({shows: base64.b64decode(png) for shows, png in _FIGURE.findall(page)})

    def plot(self, draw: Callable[..., bytes], *frames: pl.DataFrame, features: Sequence[str]) -> Plot:
        """Return what ``draw`` makes of frames and features, as the page has it, or else drawn."""
        shows = _digest(draw.__name__, frames, features)
        kept = self.by_digest.get(shows)
        return Plot(draw(*frames, features) if kept is None else kept, shows)


def _digest(kind: str, frames: Sequence[pl.DataFrame], features: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((kind, *features)).encode())
    for frame in frames:
        digest.update(repr((frame.height, *frame.schema.items())).encode())
        digest.update(hash_rows(frame).tobytes())
    return digest.hexdigest()
