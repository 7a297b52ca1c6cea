"""Durations as people write them: ``"90m"``, ``"2h"``, ``"7d"``, ``"4w"``."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PATTERN = re.compile(r"(\d+)([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Turn ``"7d"`` into ``timedelta(days=7)``; units are s, m, h, d (24 h) and w.

    Raises:
        ValueError: the text is not a whole positive number followed by one unit.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise ValueError(
            f"{text!r} is no duration: write a whole positive number and one of s, m, h, d, w, such as '7d'"
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def format_duration(length: timedelta) -> str:
    """Write a positive length of whole seconds as ``parse_duration`` reads it, in the largest of days, hours, minutes
    and seconds that leaves no fraction."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def check_duration(field: str, text: str | None) -> None:
    """Raise ValueError, beginning with the field's name, unless the text is a duration or there is none."""
    if text is None:
        return
    try:
        parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def _checked(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[str, AfterValidator(_checked)]
