"""What stands for values that are shown to nobody."""

from collections.abc import Iterable


def masked(values: Iterable[str | None]) -> dict[str | None, str | None]:
    """Return what stands for each value, told apart by numbers in the order in which they come."""
    known = dict.fromkeys(value for value in values if value is not None)
    return {None: None, **{value: f"(private {number})" for number, value in enumerate(known, 1)}}
