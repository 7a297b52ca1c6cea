"""What the navigation of each page leads to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A page in the navigation.

    Attributes:
        title: a word or two.
        path: of the page, such as ``/features``; pages below it show it as the current one.
        place: where it stands, the smallest first.
    """

    title: str
    path: str
    place: int

    def is_current(self, path: str) -> bool:
        """Return whether a page of this path is this one, or lies below it."""
        return path == self.path or (self.path != "/" and path.startswith(f"{self.path}/"))
