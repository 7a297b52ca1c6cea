"""What a scaffolder can be given on the command line, one model for each component."""

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.training.tasks import TASKS


class SourceParams(BaseModel):
    """What is given for a source; the rest is inferred from a sample of its rows."""

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(default=None, description="File, folder or URL that the rows lie at.")
    package: str | None = Field(default=None, description="Installed package that holds the file.")
    file: str | None = Field(default=None, description="Path of the file inside the package.")
    query: str | None = Field(default=None, description="SQL SELECT that gives the rows.")
    connection: str | None = Field(default=None, description="Variable with the URL of the database.")
    file_format: str | None = Field(default=None, description="Format, where the name does not tell it.")
    key: list[str] = Field(default=[], description="Column of the key; may be given several times.")
    timestamp: str | None = Field(default=None, description="Column by which rows are cut into drops.")
    grain: str = Field(default="monthly", description="hourly, daily, weekly, monthly, quarterly, yearly or whole.")
    time_zone: str = Field(default="UTC", description="Time zone in which drops begin and end.")
    label: str | None = Field(default=None, description="Column of the outcome.")
    known_at: str | None = Field(default=None, description="Column of the moment the outcome is known.")
    order_start: str | None = Field(default=None, description="For rows without a time: the moment of the first.")
    order_step: str | None = Field(default=None, description="For rows without a time: from one to the next.")
    order_by: str | None = Field(default=None, description="Column of a row's place; default: its line in the file.")


class SpineParams(BaseModel):
    """What is given for a spine."""

    model_config = ConfigDict(extra="forbid")

    table: str = Field(default="", description="Source whose rows, or entities, are predicted.")
    key: list[str] = Field(default=[], description="Column of the key; may be given several times.")
    timestamp: str = Field(
        default="", description="Column of the prediction time, or of the moment from which an entity is active."
    )
    cron: str = Field(default="", description="Predict every entity at these moments, such as '0 6 * * mon'.")
    time_zone: str = Field(default="UTC", description="Time zone of the cron expression.")


class FeatureViewParams(BaseModel):
    """What is given for a feature view."""

    model_config = ConfigDict(extra="forbid")

    spine: str = Field(default="", description="Spine that the features are computed for.")
    table: str = Field(default="", description="Source or table that the features are computed from.")
    entity: list[str] = Field(default=[], description="Column whose rows are summarised; several times for more.")
    known_at: str = Field(default="", description="Column of the moment that a row is known.")
    window: list[str] = Field(default=[], description="Window such as 7d; several times for more.")
    label: str = Field(default="", description="Column of the outcome, which is no feature.")
    timestamp: str = Field(default="", description="Column of the prediction time, of a new spine.")


class OutcomeParams(BaseModel):
    """What is given for an outcome."""

    model_config = ConfigDict(extra="forbid")

    table: str = Field(default="", description="Source of the facts; default: the only one beside the spine's.")
    entity: list[str] = Field(default=[], description="Column that fact and row share; several times for more.")
    happened_at: str = Field(default="", description="Column of the moment that a fact happened.")
    window: str = Field(default="30d", description="Length of the window after a row.")
    settles: str = Field(default="", description="How long after the window facts may still come in, such as 2d.")
    of: str = Field(default="", description="Column that is summarised; default: the facts are counted.")
    function: str = Field(default="count", description="count, sum, mean, min, max, first, last or time_to_first.")
    label: str = Field(default="", description="Expression over it, such as 'count == 0'; default: 'count > 0'.")
    spine: str = Field(default="", description="Spine whose rows it is of.")


class MLModelParams(BaseModel):
    """What is given for a model."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(default="", description="Column of the outcome.")
    known_at: str = Field(default="", description="Column of the moment the outcome is known.")
    outcome: str = Field(default="", description="Declared outcome to predict; default: the only one of the spine.")
    task: str = Field(default="", description=f"One of {', '.join(TASKS.names())}.")
    view: list[str] = Field(default=[], description="Feature view; by default all of the spine.")
    spine: str = Field(default="", description="Spine that holds the rows to predict.")
    table: str = Field(default="", description="Source whose rows are predicted, of a new spine.")
    timestamp: str = Field(default="", description="Column of the prediction time, of a new spine.")


class DbtTablesParams(BaseModel):
    """What is given for the SQL models of a use case."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field(default="dbt_project", description="Folder of the dbt project.")
    folder: str = Field(default="", description="Folder of the models in it; default: models/<use case>.")
