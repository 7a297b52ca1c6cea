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
