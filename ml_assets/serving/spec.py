"""What a user declares about serving a model."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AnswerLogSpec(BaseModel):
    """What of the log of answers a killed server, or a machine that fails, may lose."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["durable", "windowed"] = Field(
        default="durable",
        description="`durable`: an answer is in the spool before it is sent, a server that is killed loses none;"
        " `windowed`: answers are written together, a server that is killed loses those of the last `window_seconds`.",
    )
    window_seconds: float = Field(
        default=0.5, description="Seconds that a `windowed` answer may wait in memory before it is written."
    )
    sync_seconds: float = Field(
        default=0.0,
        description="Seconds after which what is written is forced onto the disk, which a machine that fails loses at"
        " most; 0 leaves that to the operating system, usually half a minute.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "AnswerLogSpec":
        if not 0.01 <= self.window_seconds <= 60:
            raise ValueError(f"window_seconds: {self.window_seconds} is outside 0.01 to 60")
        if self.sync_seconds < 0:
            raise ValueError(f"sync_seconds: {self.sync_seconds} is less than 0")
        return self


class FallbackSpec(BaseModel):
    """What answers where the features are not as required: another model, or always the same number."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        default="",
        description="Model of the same task whose champion answers; requests must give every column that it reads.",
    )
    constant: float | None = Field(
        default=None, description="The score of every row: a probability of a binary model, a value of a regression."
    )

    @model_validator(mode="after")
    def _one(self) -> "FallbackSpec":
        if bool(self.model) == (self.constant is not None):
            raise ValueError("fallback: name either model or constant")
        return self


class RequireSpec(BaseModel):
    """In which state looked-up features must be for the model to answer."""

    model_config = ConfigDict(extra="forbid")

    views: list[str] = Field(
        default_factory=list, description="Feature views that must be so; empty for all that the model looks up."
    )
    state: Literal["fresh", "stale"] = Field(
        default="fresh",
        description="`fresh`: nothing less counts, an entity without facts is as good; `stale`: values of a view count"
        " too about which nothing was reported for long, those that are missing or expired do not.",
    )
    share: float = Field(
        default=1.0,
        description="Share, above 0 and up to 1, of what a request looks up in these views, each row in each view, that"
        " must be in that state.",
    )
    fallback: FallbackSpec | None = Field(
        default=None, description="What answers below that share; absent: the request is refused with 503."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "RequireSpec":
        if not 0 < self.share <= 1:
            raise ValueError(f"share: {self.share} must be above 0 and no more than 1")
        return self


class ServingSpec(BaseModel):
    """How a model answers requests, and what is done with the answers."""

    model_config = ConfigDict(extra="forbid")

    monitored: bool = Field(
        default=False,
        description="Monitoring and the decision to retrain read the answers that were served instead of batch"
        " predictions.",
    )
    shadow: bool = Field(
        default=False, description="Let the challenger score every request too, in the background; only logged."
    )
    canary: float = Field(
        default=0.0,
        description="Share of keys, 0 to 0.5, that the challenger answers; a key stays on its side while the share"
        " does not change.",
    )
    skew_rows: int = Field(default=200, description="Logged answers whose features are recomputed to look for skew.")
    p95_ms: float = Field(
        default=100.0, description="Milliseconds that 95 of 100 single rows may take at most; a promotion asks for it."
    )
    p99_ms: float = Field(default=250.0, description="Milliseconds that 99 of 100 single rows may take at most.")

    log: AnswerLogSpec = Field(
        default_factory=AnswerLogSpec, description="What of the log of answers may be lost when something fails."
    )

    require: RequireSpec | None = Field(
        default=None,
        description="In which state looked-up features must be; absent: a request is answered whatever they are.",
    )

    # Dagster resolves a nested model from YAML only if its annotations are plain: limits are checked here.
    @model_validator(mode="after")
    def _consistent(self) -> "ServingSpec":
        if not 0 <= self.canary <= 0.5:
            raise ValueError(f"canary: {self.canary} is outside 0 to 0.5")
        if self.skew_rows < 1:
            raise ValueError(f"skew_rows: {self.skew_rows} is less than 1")
        if not 0 < self.p95_ms <= self.p99_ms:
            raise ValueError(f"p95_ms: {self.p95_ms} must be above 0 and no more than p99_ms, {self.p99_ms}")
        return self
