"""Every environment variable that is read, with type, default and description.

The edges read them once, with ``read_settings``: the command line, the module that Dagster loads, a server's process.
Whatever needs a value is passed it. No other module reads the environment.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ml_assets.environment import MLFLOW_DEFAULTS

CHANNEL_VARIABLES = ("ML_ASSETS_NOTIFY_", "ML_ASSETS_SMTP")
"""How the variables of notification channels begin; each channel describes its own."""

MASK = "**********"

_OURS, _NEAR = "ML_ASSETS_", 0.7
"""How our variables begin, and how alike two are of which one is taken for the other, misspelt."""
_READ_ELSEWHERE = ("ML_ASSETS_DBT_SCRATCH",)
"""Variables that a process of ours is given and that no setting describes."""

LAKE_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https", "hdfs", "file", "memory")
"""Schemes of the URLs at which Delta Lake keeps tables."""


class SettingsError(ValueError):
    """A variable holds a value that it must not have: a line per variable, each beginning with the variable's name."""


def _channel_variables() -> tuple[tuple[str, SecretStr], ...]:
    declared = sorted((name, value) for name, value in os.environ.items() if name.startswith(CHANNEL_VARIABLES))
    return tuple((name, SecretStr(value)) for name, value in declared)


class Settings(BaseSettings):
    """What the environment says. An empty variable is one that is not set."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True)

    project: Path | None = Field(
        default=None,
        validation_alias="ML_ASSETS_PROJECT",
        description="folder of the project, also `ml-assets --project`; by default the one that the working directory "
        "lies in",
    )
    home: Path | None = Field(
        default=None,
        validation_alias="ML_ASSETS_HOME",
        description="everything below it: lake, MLflow, Dagster's runs, studies; move or copy it, and all goes on; "
        "delete it to start over (in a path without `?`, `=`, brackets, `%20` and the like); by default `.ml_assets` "
        "in the project",
    )
    lake: str | None = Field(
        default=None,
        validation_alias="ML_ASSETS_LAKE",
        repr=False,
        description="the lake: a folder or a URL such as `s3://bucket/lake`, with the usual `AWS_*` variables; by "
        "default in the home",
    )
    mlflow: str | None = Field(
        default=None,
        validation_alias="ML_ASSETS_MLFLOW",
        repr=False,
        description="the address of an MLflow tracking server; by default SQLite in the home",
    )
    trackers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="ML_ASSETS_TRACKERS",
        description="trackers that follow training runs beside MLflow, separated by commas; by default none",
    )
    studies: str | None = Field(
        default=None,
        validation_alias="ML_ASSETS_STUDIES",
        repr=False,
        description="SQLAlchemy URL of Optuna's studies; by default SQLite in the home",
    )
    online_store: str | None = Field(
        default=None,
        validation_alias="ONLINE_STORE_URL",
        repr=False,
        description="the store of online features: `sqlite:///path`, `postgresql://host:port/database`, "
        "`redis://host:port/number` or `redis-cluster://host:port`; by default SQLite in the home",
    )
    executor: Literal["in_process", "multiprocess"] = Field(
        default="in_process",
        validation_alias="ML_ASSETS_EXECUTOR",
        description="`multiprocess` gives every step a process of its own",
    )
    sensor_seconds: int = Field(
        default=30,
        ge=1,
        validation_alias="ML_ASSETS_SENSOR_SECONDS",
        description="seconds between two looks of a sensor",
    )
    begun: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="ML_ASSETS_BEGUN",
        description="use cases whose drops Dagster looks for from the start, separated by commas; by default all; "
        "`ml-assets ui` sets it",
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="ML_ASSETS_API_KEYS",
        description="SHA-256 digests, separated by commas, of keys that a server lets in to everything; by default "
        "everybody, unless there are keys of `ml-assets keys`",
    )
    key_file: Path | None = Field(
        default=None,
        validation_alias="ML_ASSETS_KEY_FILE",
        description="file of the keys that `ml-assets keys` makes and a server lets in; by default `keys.json` in the "
        "home",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        validation_alias="ML_ASSETS_LOG_FORMAT",
        description="what a server writes to standard error: `text` what fails, `json` each request; also "
        "`ml-assets serve --log-format`",
    )
    look_seconds: float = Field(
        default=5.0,
        ge=0,
        allow_inf_nan=False,
        validation_alias="ML_ASSETS_LOOK_SECONDS",
        description="seconds between two looks of a server for a new champion",
    )
    large_bytes: int = Field(
        default=64 << 10,
        ge=0,
        validation_alias="ML_ASSETS_LARGE_BYTES",
        description="bytes of a request for predictions, once it is decompressed, from which on a process of its own "
        "answers it, so that others do not wait; a server starts it at the first such request; 0 for never",
    )
    served: Path | None = Field(
        default=None,
        validation_alias="ML_ASSETS_SERVED",
        description="file that tells a server's worker process what to serve; `ml-assets serve` sets it",
    )
    mlflow_retries: int = Field(
        default=int(MLFLOW_DEFAULTS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]),
        ge=0,
        validation_alias="MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        description="times that MLflow asks a server again that fails",
    )
    mlflow_backoff: int = Field(
        default=int(MLFLOW_DEFAULTS["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"]),
        ge=0,
        validation_alias="MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR",
        description="how much longer MLflow waits each time before it does",
    )
    otel_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        repr=False,
        description="where a server sends a span for each request (the extra `otel`); by default nowhere",
    )
    otel_traces_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        repr=False,
        description="the same, for spans alone",
    )
    otel_disabled: bool = Field(
        default=False, validation_alias="OTEL_SDK_DISABLED", description="`true` sends no spans whatever else is set"
    )
    otel_service_name: str = Field(
        default="ml-assets", validation_alias="OTEL_SERVICE_NAME", description="name of the server in its spans"
    )
    _channel_variables: tuple[tuple[str, SecretStr], ...] = PrivateAttr(default_factory=_channel_variables)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in type(self).model_fields))

    @field_validator("begun", "trackers", mode="before")
    @classmethod
    def _separate(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("lake")
    @classmethod
    def _known_store(cls, value: str | None) -> str | None:
        scheme, separator, _ = (value or "").partition("://")
        # What Delta Lake does not know it takes for an empty place.
        if separator and scheme.lower() not in LAKE_SCHEMES:
            raise ValueError(f"a lake is a folder or a URL of {', '.join(LAKE_SCHEMES)}")
        return value

    @field_validator("mlflow")
    @classmethod
    def _is_no_folder(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("file:") or ":" not in value) and value != "databricks":
            raise ValueError("no registry can lie in a folder; name a URL, such as http://host:5000")
        return value

    @field_validator("otel_disabled", mode="before")
    @classmethod
    def _disabled(cls, value: Any) -> bool:
        return value is True or str(value).lower() == "true"  # as OpenTelemetry reads it

    @property
    def open_telemetry(self) -> dict[str, str]:
        """OpenTelemetry's variables that are set."""
        named = {info.validation_alias: field for field, info in type(self).model_fields.items()}
        return {
            variable: _text(getattr(self, field))
            for variable, field in named.items()
            if isinstance(variable, str) and variable.startswith("OTEL_") and field in self.model_fields_set
        }

    @property
    def notifications(self) -> dict[str, str]:
        """The variables of notification channels, secrets in clear."""
        return {name: value.get_secret_value() for name, value in self._channel_variables}

    def watches(self, use_case: str) -> bool:
        """Return whether the drops of a use case are looked for from the start."""
        return not self.begun or use_case in self.begun


def read_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: a variable holds a value that it must not have. The message shows no secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [_fault(item["loc"][0], item["msg"], item["input"]) for item in error.errors()]
        raise SettingsError("\n".join(faults)) from None


@dataclass(frozen=True)
class Variable:
    """One variable as people are shown it.

    Attributes:
        type: what its text is read as, such as ``int``.
        value: the current one, None where it is not set; secrets are masked.
    """

    name: str
    type: str
    default: str | None
    description: str
    value: str | None


def unread_variables(more: Collection[str] = ()) -> dict[str, str | None]:
    """Return the variables of the environment that look like ours and that nothing reads, each with the nearest of
    those that are read; None where none is near.

    Args:
        more: variables that are read beside the settings, such as those of notification channels.
    """
    read = {*_fields_by_variable(), *_READ_ELSEWHERE, *more}
    unread = sorted(name for name, value in os.environ.items() if value and name.startswith(_OURS) and name not in read)
    # What all of them begin with says nothing.
    parts = {name.removeprefix(_OURS): name for name in read if name.startswith(_OURS)}
    near = {name: get_close_matches(name.removeprefix(_OURS), parts, n=1, cutoff=_NEAR) for name in unread}
    return {name: parts[found[0]] if found else None for name, found in near.items()}


def describe_settings(settings: Settings) -> list[Variable]:
    """Describe every variable in the order of the settings; those of notification channels describe themselves."""
    return list(_described(settings))


def _described(settings: Settings) -> Iterator[Variable]:
    from ml_assets.addresses import without_secrets

    for field, info in Settings.model_fields.items():
        if not isinstance(info.validation_alias, str):
            continue
        value = getattr(settings, field) if field in settings.model_fields_set else None
        text = None if value is None else without_secrets(_text(value))
        yield Variable(info.validation_alias, _type_of(info), _default_of(info), info.description or "", text)


def _fault(variable: str | int, message: str, value: Any) -> str:
    from ml_assets.addresses import without_secrets

    info = _fields_by_variable().get(str(variable))
    choices = get_args(info.annotation) if info is not None and _is_choice(info) else ()
    if choices:
        return f"{variable} is {value!r}; choose from {', '.join(choices)}"
    shown = without_secrets(value) if isinstance(value, str) else value
    message = message.removeprefix("Value error, ")
    return f"{variable} is {shown!r}: {message[0].lower()}{message[1:]}"


def _fields_by_variable() -> Mapping[str, FieldInfo]:
    return {str(info.validation_alias): info for info in Settings.model_fields.values()}


def _is_choice(info: FieldInfo) -> bool:
    return getattr(info.annotation, "__origin__", None) is Literal


def _type_of(info: FieldInfo) -> str:
    if _is_choice(info):
        return " or ".join(get_args(info.annotation))
    kinds = {Path | None: "path", str | None: "text", str: "text", SecretStr: "secret", tuple[str, ...]: "names"}
    return kinds.get(info.annotation) or getattr(info.annotation, "__name__", str(info.annotation))


def _default_of(info: FieldInfo) -> str | None:
    default = info.get_default()
    return None if default in (None, (), SecretStr("")) else _text(default)


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
