"""A declared model as the server sees it: what a request holds and which views its features come from."""

from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.freshness import Freshness
from ml_assets.serving.spec import ServingSpec

FieldKind = Literal["integer", "number", "boolean", "text", "moment", "date"]


def request_kind(dtype: pl.DataType) -> FieldKind | None:
    """Return the kind of field that a request has for a column of this type; None where it can hold no such value."""
    kinds: dict[FieldKind, bool] = {
        "integer": dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128),
        "number": dtype.is_float(),
        "boolean": dtype == pl.Boolean,
        "text": dtype == pl.String,
        "date": dtype == pl.Date,
        "moment": isinstance(dtype, pl.Datetime) and dtype.time_zone is not None,
    }
    return next((kind for kind, fits in kinds.items() if fits), None)


class RequestField(BaseModel):
    """A column that a request gives, with what its contract says about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Column of the spine, or of a view's table.")
    kind: FieldKind = Field(description="What it holds; a moment is ISO 8601 with its zone, a date ISO 8601.")
    dtype: str = Field(description="Name of its Polars type in that table, such as Int64.")
    nullable: bool = Field(default=True, description="Whether null is allowed.")
    minimum: float | None = Field(default=None, description="Smallest number allowed.")
    maximum: float | None = Field(default=None, description="Largest number allowed.")
    choices: list[str] | None = Field(default=None, description="Texts allowed.")
    pattern: str | None = Field(default=None, description="Regular expression that a text matches from its start.")
    description: str = Field(default="", description="What it means.")


class ServedModel(BaseModel):
    """Everything a server needs of a declaration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Registered model.")
    key: list[str] = Field(description="Columns that together identify a row to predict.")
    time: str = Field(description="The spine's time column: a request is made at this moment.")
    fields: list[RequestField] = Field(description="What a request gives: key, entities, and what features read.")
    views: list[FeatureViewSpec] = Field(description="The views that the model's features come from.")
    stored_types: dict[str, str] = Field(
        default_factory=dict,
        description="Stored feature -> name of its Polars type, where derived features may read it.",
    )
    freshness: dict[str, Freshness] = Field(
        default_factory=dict,
        description="View -> how far back the newest moment may lie that a build or a push reported anything of.",
    )
    serving: ServingSpec = Field(default_factory=ServingSpec, description="How it is served.")


class OnlineView(BaseModel):
    """A view that is kept ready for requests and takes facts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    view: FeatureViewSpec = Field(description="The view.")
    fields: list[RequestField] = Field(description="The columns of its table that it reads: what a fact holds.")


class OnlineTable(BaseModel):
    """A table that takes facts for all views of it that are online."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="Asset key of the table.")
    views: list[FeatureViewSpec] = Field(description="The views that its rows feed.")
    fields: list[RequestField] = Field(description="The columns of a row: those of the contract, or what views read.")
    contract: str = Field(default="", description="Pandera model of a row, as `package.module:Class`; empty for none.")
    key: list[str] = Field(default_factory=list, description="Columns that identify a row; empty where none is named.")
    ahead_seconds: float = Field(default=300.0, description="How far in the future a row may be known, seconds.")


class Declarations(BaseModel):
    """What a project declares, as far as a server asks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, ServedModel] = Field(default_factory=dict, description="Models by name.")
    online: dict[str, OnlineView] = Field(
        default_factory=dict, description="Views that are kept ready for requests, by name."
    )
    tables: dict[str, OnlineTable] = Field(default_factory=dict, description="Tables that take facts, by key.")
    unready: dict[str, str] = Field(
        default_factory=dict, description="Why a model that is served cannot be asked about rows of its spine."
    )

    @property
    def tried(self) -> list[str]:
        """Models whose challengers answer, or score, beside their champions."""
        return [name for name, model in self.models.items() if model.serving.canary or model.serving.shadow]
