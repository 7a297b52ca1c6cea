"""Everything that can be declared, field by field: what a component adds to these is Dagster's."""

from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.freshness import Freshness
from ml_assets.lake import Lake
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.online.spec import OnlineSpec
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.serving.spec import ServingSpec
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import SourceSpec
from ml_assets.training.spec import ModelSpec, SpineSpec


class DeclaredSource(SourceSpec):
    """Where a table comes from, how it is cut into drops, and what it must satisfy."""

    def table(self, table: str) -> str:
        """Return the asset key of ``raw``, ``validated`` or ``quarantine``."""
        return f"{self.name}/{table}"


class DeclaredSpine(SpineSpec):
    """Rows to predict: entity keys and prediction time, cut into drops."""

    name: str = Field(description="Name by which feature views and models refer to it.")
    partition: str = Field(description="Column of the table that names the drop a row belongs to.")
    drops: Drops = Field(description="How the rows are cut into drops: the same as the source they come from.")
    contract: str = Field(
        default="",
        description="Pandera model of the table, as `package.module:Class`: what a request to the server may hold; a"
        " column that it lacks may hold anything. The validated table of a source has the source's.",
    )

    def rows(self, lake: Lake, drops: list[str], columns: list[str]) -> pl.DataFrame:
        """Return the spine's rows of some drops: partition, time and the given columns."""
        return self.scan(lake, drops, columns).collect()

    def scan(self, lake: Lake, drops: list[str], columns: list[str]) -> pl.LazyFrame:
        """Return what ``rows`` gives, lazily."""
        wanted = list(dict.fromkeys([self.partition, self.time, *columns]))
        return lake.scan(self.table).filter(pl.col(self.partition).is_in(drops)).select(wanted)


class DeclaredView(FeatureViewSpec):
    """Features of one entity over one table, computed as of each row of a spine."""

    spine: str = Field(description="Name of the spine whose rows the features are computed for.")
    online: OnlineSpec | None = Field(
        default=None,
        description="Keep the features of every entity ready for requests; absent: in training and batch only.",
    )

    @property
    def key(self) -> str:
        """The asset key of the view's stored features."""
        return f"features/{self.name}"

    def facts(self, lake: Lake) -> pl.LazyFrame | None:
        """Return the table that the view reads; None for a view of request features only."""
        return None if self.table is None else lake.scan(self.table)


class DeclaredModel(ModelSpec):
    """A model: tuned, trained, evaluated, promoted, scored and watched."""

    spine: str = Field(  # pyright: ignore[reportIncompatibleVariableOverride] - a model in a project must name it
        description="Name of the spine that holds the rows to predict."
    )
    monitoring: MonitoringSpec = Field(
        default_factory=MonitoringSpec, description="How the model is watched in production."
    )

    retraining: RetrainingSpec = Field(
        default_factory=RetrainingSpec, description="When the model is trained again, and how often at most."
    )
    serving: ServingSpec | None = Field(
        default=None, description="How the model answers requests; absent: its answers are not gathered or checked."
    )
    freshness: Freshness = Field(
        default_factory=lambda: Freshness(warn="25d", fail="30d"), description="How old the champion may be."
    )
    after_correction: Literal["keep", "recompute"] = Field(
        default="keep",
        description="What becomes of predictions whose features are corrected later: `keep` them as they were, marked "
        "in `features_corrected`, or `recompute` them.",
    )


class DeclaredDbtTables(BaseModel):
    """SQL models built from validated tables."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field("dbt_project", description="Folder of the dbt project, relative to the project root.")
    select: str = Field(description="dbt node selection that names this use case's models.")
    folder: str = Field(description="Folder of these models below the dbt project, such as models/sales.")
    drops: Drops = Field(
        default_factory=Drops,
        description="How the rows of the tables are cut into drops: the same as the sources they come from. Each "
        "drop rebuilds all tables.",
    )


SPECS: dict[str, type[BaseModel]] = {
    "DbtTables": DeclaredDbtTables,
    "FeatureView": DeclaredView,
    "MLModel": DeclaredModel,
    "Source": DeclaredSource,
    "Spine": DeclaredSpine,
}
"""What a declaration's type is called in this package -> its fields."""


def name_of(spec: BaseModel) -> str:
    """Return a declaration's name; that of its class where the kind has none, as `DbtTables`."""
    return getattr(spec, "name", None) or type(spec).__name__
