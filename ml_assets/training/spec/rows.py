"""What a user declares about the rows of a model, its label, and how they are split."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from ml_assets.durations import parse_duration
from ml_assets.outcomes.spec import known_at_of
from ml_assets.spines.spec import HORIZON, TARGET_AT
from ml_assets.time_zones import time_zones
from ml_assets.training.spec.declared import Declared, durations, filled, within


class SpineSpec(Declared):
    """The rows to predict."""

    table: str = Field(description="Asset key of the table with one row per prediction, parts joined by '/'.")
    key: list[str] = Field(description="Columns that together identify a row.")
    time: str = Field(description="Column with the prediction time: the moment the score is needed.")
    columns: list[str] = Field(
        default_factory=list,
        description="Further columns carried along untouched (entity keys for joins, slices).",
    )

    horizons: list[str] = Field(
        default_factory=list,
        description="How far ahead an entity is predicted at each moment, such as [1d, 7d, 28d], of made rows: a row"
        f" each, with the columns {HORIZON}, in seconds, and {TARGET_AT}, the moment that the row looks ahead to. Whole"
        " days are days on the clock of the time zone.",
    )
    time_zone: str = Field(
        default="UTC",
        description="IANA zone on whose clock the days of baseline.seasonal are counted; of made rows that of `every`.",
    )

    _not_empty = filled("key")

    @property
    def series(self) -> list[str]:
        """The columns that name the series a row belongs to: the key without time and horizon."""
        return [name for name in self.key if name not in (self.time, HORIZON)]

    @property
    def horizon(self) -> str | None:
        """The column with how far ahead a row looks, in seconds, where there are horizons; a column of that name in
        other rows is one like any other."""
        return HORIZON if self.horizons else None

    @property
    def ahead(self) -> list[str]:
        """The column with the moment that a row looks ahead to, where there are horizons."""
        return [TARGET_AT] if self.horizons else []

    @property
    def row(self) -> list[str]:
        """The columns by which a stored row is found again: the key, and the time where the key lacks it."""
        return list(dict.fromkeys([*self.key, self.time]))

    def looks_as_far_as(self, other: "SpineSpec") -> bool:
        """Return whether the rows look as far ahead as those of another; also where one of the two does not say so."""
        if not self.horizons or not other.horizons:
            return True
        return {*map(parse_duration, self.horizons)} == {*map(parse_duration, other.horizons)}

    @field_validator("horizons")
    @classmethod
    def _lengths(cls, horizons: list[str]) -> list[str]:
        lengths = [parse_duration(text) for text in horizons]
        if len(set(lengths)) < len(lengths):
            raise ValueError(f"names something twice: {horizons}")
        return horizons

    _is_zone = time_zones("time_zone")

    @field_validator("key")
    @classmethod
    def _distinct(cls, key: list[str]) -> list[str]:
        if len(set(key)) < len(key):
            raise ValueError(f"names something twice: {key}")
        return key


class LabelSpec(Declared):
    """The outcome to predict."""

    column: str = Field(
        default="",
        description="Column of the spine table with the outcome: boolean or 0/1 (binary), text or whole numbers"
        " (multiclass), a number (regression); null = none yet.",
    )
    known_at: str = Field(
        default="", description="Column of the spine table with the moment the outcome was known; goes with `column`."
    )
    outcome: str | None = Field(
        default=None,
        description="Name of a declared outcome of the same spine, instead of `column` and `known_at`, which then are"
        " its own: `churned` and `churned_known_at`.",
    )

    @model_validator(mode="after")
    def _either_way(self) -> Self:
        if self.outcome is None:
            if missing := [name for name in ("column", "known_at") if not getattr(self, name)]:
                raise ValueError(f"{missing[0]}: is missing; declare `column` and `known_at`, or `outcome` instead")
            return self
        # A label that is read back has them all.
        own = {"column": self.outcome, "known_at": known_at_of(self.outcome)}
        for name, value in own.items():
            if getattr(self, name) not in ("", value):
                raise ValueError(
                    f"{name}: is that of the outcome {self.outcome}: declare `outcome`, or `column` and `known_at`"
                )
            setattr(self, name, value)
        return self


class SplitSpec(Declared):
    """Train, validation and holdout, one after the other in prediction time."""

    validation: str = Field(description="Length of the validation part, such as '14d'.")
    holdout: str = Field(description="Length of the holdout part, such as '30d'.")
    gap: str = Field(
        description="Time left out between the parts and before the cut-off, such as '2d': at least as long"
        " as a label takes to arrive after its prediction time."
    )
    train: str | None = Field(
        default=None, description="Most history to train on, such as '180d'; null takes all there is."
    )
    group: list[str] = Field(
        default_factory=list,
        description="Columns that name an entity whose rows shall all lie on one side, such as [customer_id]. Of an"
        " entity with rows in several parts one part keeps its rows and the others leave theirs out; how many is"
        " counted as other_side. A row with a null in one of them belongs to no entity and stays.",
    )
    group_train: float = Field(
        default=0.6,
        description="Share, above 0 and below 1, of the entities with rows in several parts whose rows train keeps;"
        " validation and holdout keep those of the others, half each. The draw is seeded and goes by the entity alone.",
    )
    min_rows: int = Field(default=100, description="Rows with a label that each part must have at least.")

    _are_durations = durations("validation", "holdout", "gap", "train")
    _enough = within("min_rows", low=2)
    _share = within("group_train", low=0.01, high=0.99)
