"""What one build of a view's online features was made from."""

from datetime import UTC, datetime, timedelta

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.features.engine.checks import MOMENT


def online_key(view: str) -> str:
    """Return the asset key of a view's online features; the lake table there has a row for each build."""
    return f"online/{view}"


class Build(BaseModel):
    """The features of all entities of a view, as of one moment and for the time until the next build."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    view: str = Field(description="Feature view.")
    build: str = Field(description="Identifies the build among those of its view; behind the @ its declaration.")
    as_of: datetime = Field(description="Facts of the table that were known by then are in it.")
    valid_until: datetime | None = Field(description="From then on its values are expired; null for never.")
    table_version: int | None = Field(description="Version of the view's table in the lake; null if it lies elsewhere.")
    table_files: str | None = Field(
        default=None, description="Digest of the table's id and of the files of that version; null where unknown."
    )
    pushed_seq: int = Field(description="Number of the last pushed fact in it; 0 for none.")
    entities: int = Field(default=0, description="How many entities have facts in it.")
    moments: int = Field(default=0, description="How many values it computed: of all entities, or of those it updated.")
    max_known_at: datetime | None = Field(default=None, description="When the newest of its facts was known.")

    def is_of(self, declaration: str) -> bool:
        """Return whether a declaration made the build, see `declaration_of`."""
        return self.build.endswith(f"@{declaration}")

    @property
    def begin(self) -> int:
        """The first moment that its values hold for, microseconds: a static table is taken as always known."""
        return 0 if self.valid_until is None else microseconds(self.as_of)

    @property
    def end(self) -> int | None:
        """The first moment that they hold for no more, microseconds; None for never."""
        return None if self.valid_until is None else microseconds(self.valid_until)

    def frame(self) -> pl.DataFrame:
        """Return the record as a row of the lake table `online/<view>`."""
        types = {
            str: pl.String,
            str | None: pl.String,
            int: pl.Int64,
            int | None: pl.Int64,
            datetime: MOMENT,
            datetime | None: MOMENT,
        }
        schema = {name: types[field.annotation] for name, field in type(self).model_fields.items()}
        return pl.DataFrame([self.model_dump()], schema=schema)


def microseconds(moment: datetime) -> int:
    """Count a moment with its zone as whole microseconds since the epoch, the way stores count time."""
    since = moment.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(stored: int) -> datetime:
    """Return the moment that a store counts as `stored`, in UTC."""
    return _EPOCH + timedelta(microseconds=stored)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
