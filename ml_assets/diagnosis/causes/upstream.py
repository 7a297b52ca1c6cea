"""What happened upstream while performance fell, and which features it can have reached."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

EventKind = Literal["late", "missing", "withheld", "quarantined", "rows", "schema"]


class UpstreamEvent(BaseModel):
    """Something out of the ordinary about the deliveries of one source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Name of the source, or the asset key of another table.")
    drop: str = Field(description="The delivery that it is about.")
    kind: EventKind = Field(
        description="late (written after the predictions were made), missing (no delivery in use), withheld (held back"
        " by its gate), quarantined (more rows than usual break the contract), rows (more or fewer than usual), schema"
        " (columns or types changed)."
    )
    text: str = Field(description="What happened, in words.")
    columns: tuple[str, ...] = Field(default=(), description="Columns that it is about; none for the whole delivery.")
    observed: float | None = Field(default=None, description="The measured value, where there is one.")
    usual: float | None = Field(default=None, description="What the deliveries before it had.")


class SourceColumn(BaseModel):
    """A column of a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Name of the source, or the asset key of another table.")
    column: str = Field(description="Name; empty where only the table is known.")


@dataclass(frozen=True)
class Origin:
    """Where a feature comes from.

    Attributes:
        table: asset key of the table that its view reads; None for a feature of the row itself.
        columns: columns of sources that it is made of, as far as they are known.
    """

    table: str | None
    columns: tuple[SourceColumn, ...] = ()

    @property
    def sources(self) -> set[str]:
        return {column.source for column in self.columns}

    def is_reached_by(self, event: UpstreamEvent) -> bool:
        """Return whether an event is about what the feature is made of."""
        if event.source not in self.sources:
            return False
        own = {column.column for column in self.columns if column.source == event.source}
        return not event.columns or "" in own or bool(own & set(event.columns))


def reached(
    events: Iterable[UpstreamEvent], features: Sequence[str], origins: Mapping[str, Origin]
) -> dict[str, tuple[list[UpstreamEvent], list[str]]]:
    """Return, by source, the events that can have moved some features, and which of these."""
    by_source: dict[str, tuple[list[UpstreamEvent], list[str]]] = {}
    for event in events:
        names = [name for name in features if name in origins and origins[name].is_reached_by(event)]
        if names:
            of_source = by_source.setdefault(event.source, ([], []))
            of_source[0].append(event)
            of_source[1].extend(name for name in names if name not in of_source[1])
    return by_source
