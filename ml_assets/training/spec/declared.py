"""What the parts of a declaration share."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from ml_assets.durations import parse_duration


# Limits are validators, not Field(ge=...) or Annotated types: Dagster resolves a nested model from YAML only
# when its annotations are plain.
def within(*fields: str, low: float = float("-inf"), high: float = float("inf")) -> Any:
    """Validate that fields lie between two limits, these included."""

    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(
                f"{value} is less than {low}" if high == float("inf") else f"{value} is outside {low} to {high}"
            )
        return value

    return field_validator(*fields)(check)


def durations(*fields: str) -> Any:
    """Validate that fields are lengths of time such as 7d, where they are given."""

    def check(value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value

    return field_validator(*fields)(check)


def filled(*fields: str) -> Any:
    """Validate that fields are not empty."""

    def check(value: list | dict) -> list | dict:
        if not value:
            raise ValueError("must name at least one")
        return value

    return field_validator(*fields)(check)


class Declared(BaseModel):
    """A part of a declaration: an unknown field is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")
