"""How the values of one column are written, where the values themselves leave it open."""

import re
from datetime import UTC, datetime
from typing import Literal, Self
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

EPOCHS = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1_000, "epoch_microseconds": 1}
"""Words for moments written as numbers, and how many microseconds their unit has."""

_DIRECTIVE = re.compile(r"%[-_0#.\d]*[A-Za-z%]")
_DATES, _TIMES = set("YyCGgmbBhdejUWuaAVFDxsqw"), set("HIklMSpPTRrfXzZ")


class ColumnFormat(BaseModel):
    """How the values of a column are written."""

    model_config = ConfigDict(extra="forbid")

    format: str | None = Field(
        default=None,
        description="How dates and times are written, as by strftime, such as %d.%m.%Y %H:%M; %Y for a year alone; or "
        f"{', '.join(EPOCHS)} for a number since 1970. By default ISO 8601.",
    )
    time_zone: str | None = Field(
        default=None,
        description="IANA zone of the clock that wrote times without an offset, such as Europe/Berlin: they become "
        "moments, which the contract declares in UTC.",
    )
    ambiguous: Literal["earliest", "latest", "quarantine"] = Field(
        default="quarantine", description="What a time becomes that the clock showed twice, as when summer time ends."
    )
    missing: Literal["earliest", "latest", "quarantine"] = Field(
        default="quarantine",
        description="What a time becomes that the clock never showed, as when summer time begins: read by the offset "
        "after the change (earliest) or before it (latest).",
    )
    day: Literal["start", "end"] = Field(
        default="start", description="Which moment of its day a date without a time becomes."
    )
    unit: str = Field(
        default="", description="Sign that may stand before or after a number, such as %, € or EUR; it is taken away."
    )

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.time_zone is not None:
            try:
                ZoneInfo(self.time_zone)
            except (ValueError, OSError, KeyError) as error:
                raise ValueError(f"time_zone: {self.time_zone!r} is no IANA time zone such as Europe/Berlin") from error
        if self.format is not None and self.format not in EPOCHS:
            self._check_pattern(self.format)
        if self.has_offset and self.time_zone is not None:
            raise ValueError(f"time_zone: {self.format!r} tells the moment by itself; leave it out")
        if self.unit and (self.format or self.time_zone):
            raise ValueError("unit: is that of a number, format and time_zone are those of a moment; give one of them")
        if self.unit and (self.unit != self.unit.strip() or re.search(r"[\d.,+-]", self.unit)):
            raise ValueError(f"unit: {self.unit!r} cannot be told from a number")
        return self

    def _check_pattern(self, pattern: str) -> None:
        if not {"Y", "y", "F", "D", "G", "s"} & self._directives:
            raise ValueError(
                f"format: {pattern!r} tells no year; write it as by strftime, such as %Y-%m-%d, or {', '.join(EPOCHS)}"
            )
        try:
            pl.Series(["x"]).str.to_datetime(self.pattern, strict=False)
            pl.Series([datetime(2024, 1, 31, tzinfo=UTC)]).dt.to_string(pattern.replace("%#z", "%z"))
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"format: {pattern!r} is no format ({str(error).splitlines()[0]})") from error

    @property
    def is_moment(self) -> bool:
        """Whether dates or times are declared, and not a number."""
        return self.format is not None or self.time_zone is not None

    @property
    def has_offset(self) -> bool:
        """Whether each value tells the moment without a zone."""
        return self.format in EPOCHS or "z" in self._directives or "s" in self._directives

    @property
    def is_date(self) -> bool:
        """Whether the format has no time of day."""
        return self.format is not None and self.format not in EPOCHS and not self._directives & _TIMES

    @property
    def pattern(self) -> str:
        """The format, completed by the first month or day where it has none: Polars parses whole dates only."""
        added = self._added
        return f"{self.format}\x1f{added}" if added else self.format or ""

    @property
    def suffix(self) -> str:
        """What to put behind each text for `pattern` to fit."""
        return "\x1f" + self._added.replace("%m", "01").replace("%d", "01") if self._added else ""

    @property
    def may_lose(self) -> bool:
        """Whether a value may go to quarantine as no moment: UTC has no summer time."""
        return self.time_zone not in (None, "UTC") and "quarantine" in (self.ambiguous, self.missing)

    @property
    def _added(self) -> str:
        given = self._directives
        if given & {"F", "D", "s", "j", "U", "W", "V"}:
            return ""
        month, day = given & {"m", "b", "B", "h"}, given & {"d", "e"}
        return ("" if month else "%m") + ("" if day else "%d")

    @property
    def _directives(self) -> set[str]:
        return {directive[-1] for directive in _DIRECTIVE.findall(self.format or "")}
