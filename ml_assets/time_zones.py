"""Time zones as people write them: IANA names such as ``Europe/Paris``."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator


def check_time_zone(name: str) -> str:
    """Return the name of a time zone; raise ValueError if there is none of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone such as America/New_York") from error
    return name


def time_zones(*fields: str) -> Any:
    """Validate that fields of a declaration are names of time zones."""
    return field_validator(*fields)(check_time_zone)
