"""What the navigation of each page leads to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A page in the navigation.

    Attributes:
        title: a word or two.
        path: of the page, such as ``/features``; pages below it show it as the current one.
        place: where it stands, the smallest first.
        below: what the paths of pages below it begin with, where that is not its own path.
    """

    title: str
    path: str
    place: int
    below: str = ""

    def is_current(self, path: str) -> bool:
        """Return whether a page of this path is this one, or lies below it."""
        return path == self.path or path.startswith(f"{self.below or self.path.rstrip('/') or '/?'}/")
