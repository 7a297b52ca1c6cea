"""What a connector says of itself, as a file in the home: for those who look from outside."""

import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field

from ml_assets.streams.connector import Connector, stream_quarantine
from ml_assets.streams.running import Lag


class StreamState(BaseModel):
    """How far a connector is."""

    name: str = Field(description="Identifies the stream: its URL without secrets and options, unless it is named.")
    use_case: str = Field(description="Whose tables its messages are for.")
    at: datetime = Field(description="When this was so.")
    ended: bool = Field(description="Whether the connector has ended since.")
    messages: int = Field(description="Messages that count or are in quarantine, since the first of the stream.")
    rows: dict[str, int] = Field(description="Rows pushed and taken back since the connector was started, by table.")
    refused: dict[str, int] = Field(
        description="Rows and messages that went to quarantine since the connector was started, by table."
    )
    lag_messages: int | None = Field(description="Messages that wait; null where it is not known.")
    lag_seconds: float | None = Field(
        description="How long ago the newest message that counts was sent, seconds, 0 where none waits; null where it "
        "is not known."
    )
    away: str = Field(description="Why nothing is read; empty where something is.")

    def summary(self) -> str:
        """Return a line about it."""
        lag = "an unknown number waits" if self.lag_messages is None else f"{self.lag_messages:,} wait"
        if self.lag_messages != 0 and self.lag_seconds is not None:
            lag += f", {self.lag_seconds:,.0f} s behind"
        away = f"; away: {self.away}" if self.away else ""
        rows, refused = sum(self.rows.values()), sum(self.refused.values())
        since = f"since the start {rows:,} rows and {refused:,} in quarantine"
        return f"{self.messages:,} messages count, {lag}; {since}{away}"


def state_of(connector: Connector, use_case: str, lag: Lag, at: int, *, ended: bool = False) -> StreamState:
    """Return what to say of a connector at a moment, microseconds."""
    return StreamState(
        name=connector.name,
        use_case=use_case,
        at=datetime.fromtimestamp(at / 1_000_000, UTC),
        ended=ended,
        messages=connector.progress.messages,
        rows=dict(connector.pushed),
        refused=dict(connector.refused),
        lag_messages=lag.messages,
        lag_seconds=lag.seconds,
        away=lag.away,
    )


def write_state(folder: Path, state: StreamState) -> None:
    """Write what there is to say of a connector, in place of what was said before.

    Raises:
        OSError: the disk does not take it; what was said before is there still.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{stream_quarantine(state.name).rpartition('/')[2]}.json"
    new = file.with_suffix(f".{os.getpid()}")
    try:
        new.write_text(state.model_dump_json(indent=2))
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def read_states(folder: Path) -> list[StreamState]:
    """Return what each connector of a home has said last."""
    return [StreamState.model_validate_json(file.read_text()) for file in sorted(folder.glob("*.json"))]
