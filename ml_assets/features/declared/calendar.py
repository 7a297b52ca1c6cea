"""What a team declares about the calendar of a moment."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.time_zones import time_zones

CalendarPart = Literal[
    "hour",
    "weekday",
    "weekend",
    "day",
    "day_of_year",
    "week",
    "month",
    "quarter",
    "month_start",
    "month_end",
    "holiday",
    "days_to_holiday",
    "days_since_holiday",
]

OF_HOLIDAYS: set[CalendarPart] = {"holiday", "days_to_holiday", "days_since_holiday"}


class CalendarPartsSpec(BaseModel):
    """Where a moment of the row to predict lies in the local calendar."""

    model_config = ConfigDict(extra="forbid")

    at: str | None = Field(
        default=None,
        description="Column of the spine that the features are about, such as `target_at`: a moment or a date. Absent: "
        "the prediction time.",
    )
    time_zone: str = Field(
        description="Time zone whose calendar counts, such as Europe/Paris. A date is taken as it is."
    )
    parts: list[CalendarPart] = Field(
        description="Which features, each named `<base>_<part>`. hour: 0 to 23. weekday: 1 (Monday) to 7. weekend: "
        "Saturday or Sunday. day: of the month, from 1. day_of_year: from 1. week: of the ISO year, 1 to 53. month: 1 "
        "to 12. quarter: 1 to 4. month_start and month_end: the first and the last day of a month. holiday: a public "
        "holiday of the country. days_to_holiday and days_since_holiday: days to the next and since the last one, 0 on "
        "it. What is said of holidays is null in years of which the `holidays` library knows none."
    )
    country: str | None = Field(
        default=None,
        description="Country whose public holidays count, as its ISO 3166-1 code of two letters, such as FR.",
    )
    subdivision: str | None = Field(
        default=None,
        description="State, province or region whose own holidays count too, as the `holidays` library names it, such "
        "as BY of DE. Absent: those of the whole country.",
    )

    # Dagster resolves a nested model from YAML only if its annotations are plain: limits are validators.
    _is_zone = time_zones("time_zone")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        of_holidays = [part for part in self.parts if part in OF_HOLIDAYS]
        if not self.parts:
            raise ValueError("parts: name at least one")
        if repeated := sorted({part for part in self.parts if self.parts.count(part) > 1}):
            raise ValueError(f"parts: {', '.join(repeated)} twice")
        if of_holidays and self.country is None:
            raise ValueError(f"country: is needed by {', '.join(of_holidays)}: write its code, such as FR")
        if self.country is not None and not of_holidays:
            raise ValueError("country: is given, and parts name nothing of holidays")
        if self.subdivision is not None and self.country is None:
            raise ValueError("subdivision: belongs to a country: write its code, such as DE")
        return self
