"""What every declaration says for the catalogue: by which tags it is found, and who answers for it."""

import re

from pydantic import BaseModel, Field, field_validator

from ml_assets.sources.spec import check_owners

_KEY = re.compile(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}")
_VALUE = re.compile(r"[A-Za-z0-9_.-]{0,63}")
_TAKEN = ("dagster/", "ml_assets/")


class Catalogued(BaseModel):
    """A declaration that lists and pages find by tags and owners."""

    tags: dict[str, str] = Field(
        default_factory=dict,
        description="Tag -> value, of the assets and to filter by: letters, digits, `_`, `.` and `-`, 63 at most. A "
        "tag may have a namespace before a `/`, which is neither `dagster` nor `ml_assets`.",
    )

    @field_validator("tags")
    @classmethod
    def _are_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        for tag, value in tags.items():
            if not _KEY.fullmatch(tag):
                raise ValueError(
                    f"tag {tag!r} must be letters, digits, _, . and -, 63 at most, after a namespace and /"
                )
            if tag.startswith(_TAKEN):
                raise ValueError(f"tag {tag!r} has a namespace that the platform uses: give another")
            if not _VALUE.fullmatch(value):
                raise ValueError(f"tag {tag!r}: {value!r} must be letters, digits, _, . and -, 63 at most")
        return tags

    @field_validator("owners", check_fields=False)
    @classmethod
    def _are_owners(cls, owners: list[str]) -> list[str]:
        return check_owners(owners)
