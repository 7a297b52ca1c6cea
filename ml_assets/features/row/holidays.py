"""Public holidays by country."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ml_assets.features.declared.calendar import CalendarPartsSpec


def country_problem(spec: CalendarPartsSpec) -> str | None:
    """Return what is wrong with the country or subdivision of a calendar; None if nothing is."""
    if spec.country is None:
        return None
    known = _countries()
    if spec.country not in known:
        return f"country: {spec.country!r} is none whose holidays are known; write its ISO 3166-1 code, such as FR"
    if spec.subdivision is not None and spec.subdivision not in known[spec.country]:
        there = ", ".join(known[spec.country]) or "none"
        return f"subdivision: {spec.subdivision!r} is none of {spec.country}; there are {there}"
    return None


@lru_cache(maxsize=256)
def holidays_between(country: str, subdivision: str | None, first: int, last: int) -> tuple[np.ndarray, range]:
    """Return the public holidays of some years.

    Args:
        country: ISO 3166-1 code.
        first, last: years, both included.

    Returns:
        Days since 1970-01-01, int64, sorted; and the years whose holidays are known, all others have none among them.
    """
    import holidays

    kind: Any = holidays.country_holidays(country, subdiv=subdivision)
    known = range(max(first, kind.start_year), min(last, kind.end_year) + 1)
    found = holidays.country_holidays(country, subdiv=subdivision, years=known)
    days = np.array(sorted(found), dtype="datetime64[D]").astype(np.int64)
    # What is observed on a day of another year is listed with that.
    years = days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    return days[(years >= known.start) & (years < known.stop)], known


@lru_cache(maxsize=1)
def _countries() -> Mapping[str, list[str]]:
    import holidays

    return holidays.list_supported_countries(include_aliases=True)
