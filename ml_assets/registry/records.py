"""What goes into the registry and what comes out of it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CHAMPION, CHALLENGER = "champion", "challenger"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunOrigin(_Record):
    """Where a training run comes from: enough to do it again."""

    dagster_run_id: str | None = Field(default=None, description="Dagster run that trains; null outside Dagster.")
    code_commit: str | None = Field(default=None, description="Git commit of the project; null if unknown.")
    code_changed: bool = Field(default=False, description="Whether the project's files differ from that commit.")
    platform: str | None = Field(default=None, description="Version of ml_assets that trains; null if unknown.")
    table_versions: dict[str, int] = Field(default_factory=dict, description="Asset key -> table version read.")
    source: str | None = Field(default=None, description="What was run, such as `shop/returns`; null if unknown.")
    declaration: dict[str, Any] = Field(default_factory=dict, description="The model's declaration as JSON values.")


class LoggedModel(_Record):
    """A model whose files lie in a run's experiment, not yet in the registry."""

    model_id: str = Field(description="MLflow's id of the model.")
    run_id: str = Field(description="Run that logged it.")
    location: str = Field(description="URI of its files.")


class RegisteredVersion(_Record):
    """One version of a registered model."""

    name: str = Field(description="Registered model.")
    version: str = Field(description="Version, '1' first.")
    run_id: str = Field(description="MLflow run that trained it; empty for one that was registered without.")
    location: str = Field(description="URI of its files.")
    aliases: tuple[str, ...] = Field(description="Aliases that point to it.")
    tags: dict[str, str] = Field(description="Tags of the version.")
