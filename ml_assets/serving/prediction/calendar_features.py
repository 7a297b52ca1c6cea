"""Calendar features of requests: what the engine computes of a moment, remembered by the minute."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from ml_assets.features.declared.calendar import CalendarPartsSpec
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.row.calendar import calendar_of
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.values.record import moment_of
from ml_assets.serving.errors import BadRequest

REMEMBERED = 65_536
"""Minutes or dates whose values are kept of each calendar."""

_WHOLE_MINUTES = 1973
"""From this year on every time zone is whole minutes away from UTC."""


class CalendarFeatures:
    """The calendar features of some views, for rows of their spine.

    Attributes:
        types: Polars types of the features, by name.
    """

    def __init__(self, views: Iterable[FeatureViewSpec], schema: Mapping[str, pl.DataType], time: str) -> None:
        """Prepare the calendars.

        Args:
            schema: types of the rows' columns in the spine's table.
            time: the spine's time column, which rows do not hold.

        Raises:
            FeatureError: a column is neither moment nor date, or a country is unknown.
        """
        self._calendars = [
            _Calendar(f"feature view {view.name!r}, calendar.{base}", base, spec, None if spec.at == time else spec.at)
            for view in views
            for base, spec in view.calendar.items()
        ]
        self.types: dict[str, pl.DataType] = {}
        for calendar in self._calendars:
            dtype = MOMENT if calendar.column is None else schema[calendar.column]
            self.types |= {name: series.dtype for name, series in calendar.compute([], dtype).items()}
        self._types = {**schema, time: MOMENT}

    def add(self, computed: Sequence[dict[str, Any]], rows: Sequence[Mapping[str, Any]], at: int) -> None:
        """Add the calendar features to what is computed of rows.

        Args:
            computed: the features of each row so far.
            rows: the spine's columns, as `RowReader.read` gives them.
            at: the moment of the request, microseconds.
        """
        for calendar in self._calendars:
            column = calendar.column
            moments = [moment_of(at)] * len(rows) if column is None else [row[column] for row in rows]
            dtype = MOMENT if column is None else self._types[column]
            for own, values in zip(computed, calendar.values(moments, dtype), strict=True):
                own.update(values)


class _Calendar:
    """One calendar and its values by minute or date; `column` None stands for the moment of the request."""

    def __init__(self, where: str, base: str, spec: CalendarPartsSpec, column: str | None) -> None:
        self.column = column
        self._where, self._base, self._spec = where, base, spec
        self._remembered: dict[Any, dict[str, Any]] = {}

    def compute(self, moments: list, dtype: pl.DataType) -> dict[str, pl.Series]:
        series = pl.Series(self.column or "the moment of the request", moments, dtype)
        return {f"{self._base}_{part}": v for part, v in calendar_of(series, self._spec, self._where).items()}

    def values(self, moments: list, dtype: pl.DataType) -> list[dict[str, Any]]:
        keys, known = [_key(moment) for moment in moments], self._remembered
        found = {key: known.get(key) for key in keys}
        if new := [key for key, values in found.items() if values is None]:
            try:
                columns = self.compute(new, dtype)
            except pl.exceptions.PolarsError as error:
                raise BadRequest(f"{self._where} cannot be computed: {error}") from error
            computed = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            fresh = dict(zip(new, computed, strict=True))
            found.update(fresh)
            if len(known) >= REMEMBERED:
                self._remembered = known = {}
            known.update(fresh)
        return [found[key] or {} for key in keys]


def _key(moment: datetime | date | None) -> datetime | date | None:
    if isinstance(moment, datetime) and moment.year >= _WHOLE_MINUTES:
        return moment.replace(second=0, microsecond=0)
    return moment
