"""What a replay has worked out so far, on disk, so that a killed one goes on where it stood."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import polars as pl

from ml_assets.addresses import sqlite_url
from ml_assets.retraining.candidates import Candidate
from ml_assets.training.fit import load_model, save_model
from ml_assets.training.metrics.bootstrap import Interval

DONE = "candidate.json"


class ReplayStore:
    """One folder per state of code, declaration and data. A result counts once its last file is in place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def studies(self) -> str:
        return sqlite_url(self.folder / "studies.db")

    def candidate(self, as_of: datetime, make: Callable[[], Candidate]) -> Candidate:
        """Return the training as of a moment, which is made if it does not exist yet."""
        folder = self.folder / f"candidate-{as_of:%Y%m%dT%H%M%S}"
        if not (folder / DONE).exists():
            made = make()
            folder.mkdir(exist_ok=True)
            save_model(made.model, folder)
            made.reference.write_parquet(folder / "reference.parquet")
            record = {"values": made.values, "over_baseline": asdict(made.over_baseline)}
            record |= {"trained_rows": made.trained_rows, "seconds": made.seconds}
            _place(folder / DONE, json.dumps(record).encode())
        record = json.loads((folder / DONE).read_text())
        return Candidate(
            as_of=as_of,
            model=load_model(folder),
            reference=pl.read_parquet(folder / "reference.parquet"),
            values=record["values"],
            over_baseline=Interval(**record["over_baseline"]),
            trained_rows=record["trained_rows"],
            seconds=record["seconds"],
        )

    def frame(self, name: str, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return a table by name, which is made if it does not exist yet."""
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            unplaced = path.with_suffix(".part")
            make().write_parquet(unplaced)
            unplaced.replace(path)
        return pl.read_parquet(path)


def _place(path: Path, content: bytes) -> None:
    unplaced = path.with_suffix(".part")
    unplaced.write_bytes(content)
    unplaced.replace(path)
