"""How a team declares rows to predict that are made instead of read."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.time_zones import time_zones

MADE = "rows"
"""Last part of the asset key of a made spine's table: ``<spine>/rows``."""
PREDICTION_AT = "prediction_at"
"""Column of a made spine with the moment of the calendar, where `time` names no other."""
HORIZON = "horizon"
"""Column of rows with horizons: how far ahead a row looks, in seconds."""
TARGET_AT = "target_at"
"""Column of rows with horizons: the moment that a row looks ahead to."""
STANDS_FOR = "stands_for"
"""Column of a sampled spine's rows: how many entity-moments a row stands for, 1 in drops that are whole."""


class CalendarSpec(BaseModel):
    """The moments at which every active entity is predicted."""

    model_config = ConfigDict(extra="forbid")

    cron: str = Field(
        description="Five cron fields - minute, hour, day of month, month, weekday - such as '0 6 * * mon', in "
        "wall-clock time of `time_zone`. A time that the clocks skip is the first moment after; one that they show "
        "twice is the later of the two; an hour of '*' is every hour that passes."
    )
    time_zone: str = Field(default="UTC", description="IANA zone of the wall clock, such as Europe/Paris.")

    _is_zone = time_zones("time_zone")

    @field_validator("cron")
    @classmethod
    def _comes(cls, cron: str) -> str:
        from ml_assets.spines.calendar import check_cron

        check_cron(cron)
        return cron


class EntitiesSpec(BaseModel):
    """Whom or what a made spine predicts: the entities of a table, from one moment until another."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    table: str = Field(description="Asset key of the table of entities, such as customers/validated.")
    key: list[str] = Field(description="Columns that identify an entity; rows without a value are left out.")
    from_: str | None = Field(
        default=None,
        alias="from",
        description="Column with the moment from which the entity is active, this included; rows without one never "
        "are. Absent: since ever.",
    )
    until: str | None = Field(
        default=None,
        description="Column with the moment from which it is no longer active; null in a row: it still is. Absent: for "
        "ever.",
    )
    known_at: str | None = Field(
        default=None,
        description="Column with the moment a row could first be known, of a table with several versions of an entity: "
        "at each moment the last version known by then counts. Absent: each row is a time of its own in which the "
        "entity is active, and two of one entity must not overlap.",
    )
    where: str | None = Field(
        default=None,
        description="Polars SQL condition over the entity's row, such as `country = 'FR'`; entities for which it is "
        "false or null are left out.",
    )
    columns: list[str] = Field(
        default_factory=list, description="Further columns of the entity's row that the made rows carry."
    )

    @field_validator("where")
    @classmethod
    def _is_condition(cls, where: str | None) -> str | None:
        import polars as pl

        if where is not None:
            try:
                pl.sql_expr(where)
            except pl.exceptions.PolarsError as error:
                raise ValueError(f"`{where}` is no Polars SQL condition ({error})") from error
        return where

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if not self.key:
            raise ValueError("key: must name at least one")
        names = [*self.key, *self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns: {', '.join(twice)} is named twice among key and columns")
        return self

    @property
    def moments(self) -> dict[str, str]:
        """Field -> column, of the fields that name a column with moments."""
        named = {"from": self.from_, "until": self.until, "known_at": self.known_at}
        return {field: column for field, column in named.items() if column is not None}


class SampleSpec(BaseModel):
    """Which entity-moments of a made spine are kept in drops that are there to learn from."""

    model_config = ConfigDict(extra="forbid")

    share: float = Field(
        description="Share of the entity-moments that are kept, above 0 and below 1, drawn by a hash of entity and "
        "moment and by nothing else; a row with horizons is kept with all of them."
    )
    before: str = Field(
        description="Name of a drop, such as 2024-06: drops before it are thinned; it and those after are whole, so "
        "that every row of theirs is predicted and monitored."
    )
    seed: int = Field(default=0, description="Another seed draws other rows.")

    @field_validator("share")
    @classmethod
    def _is_share(cls, share: float) -> float:
        if not 0 < share < 1:
            raise ValueError(f"{share} is no share above 0 and below 1; leave `sample` out to keep every row")
        return share

    def thins(self, drop: str) -> bool:
        """Return whether a drop is thinned."""
        return drop < self.before
