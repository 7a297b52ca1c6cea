"""What a user declares about the rows of a model, its label, and how they are split."""

from pydantic import Field, field_validator

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

    _not_empty = filled("key")

    @property
    def row(self) -> list[str]:
        """The columns by which a stored row is found again: the key, and the time where the key lacks it."""
        return list(dict.fromkeys([*self.key, self.time]))

    @field_validator("key")
    @classmethod
    def _distinct(cls, key: list[str]) -> list[str]:
        if len(set(key)) < len(key):
            raise ValueError(f"names something twice: {key}")
        return key


class LabelSpec(Declared):
    """The outcome to predict."""

    column: str = Field(
        description="Column of the spine table with the outcome: boolean or 0/1 (binary), text or whole numbers"
        " (multiclass), a number (regression); null = none yet."
    )
    known_at: str = Field(description="Column of the spine table with the moment the outcome was known.")


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
    min_rows: int = Field(default=100, description="Rows with a label that each part must have at least.")

    _are_durations = durations("validation", "holdout", "gap", "train")
    _enough = within("min_rows", low=2)
