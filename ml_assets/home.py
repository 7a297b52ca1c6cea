"""Where all state lives: one folder, ``ML_ASSETS_HOME``."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ml_assets.addresses import require_fit, sqlite_url

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NML_DISABLE_USAGE_LOGGING": "1",
}

DAGSTER_SETTINGS = Path(__file__).parent / "dagster.yaml"
"""Dagster's settings in every home, as they come with the platform."""

# Appended to dagster.yaml in the home alone: the project's own is also read by tools that run without a home.
EVENT_STORAGE = """
event_log_storage:
  module: ml_assets.automation.event_storage
  class: PooledSqliteEventLogStorage
  config:
    base_dir: {home}
"""


@dataclass(frozen=True)
class Home:
    """The folders and addresses under one home.

    ``lake`` may lie elsewhere: ``ML_ASSETS_LAKE`` takes another folder or an object-store URL, and
    ``ML_ASSETS_MLFLOW`` another MLflow tracking server.
    """

    root: Path
    lake: str
    mlflow: str

    @classmethod
    def from_environment(cls) -> "Home":
        """Read ``ML_ASSETS_HOME`` (default ``.ml_assets`` in the working directory) and its overrides.

        Raises:
            ValueError: a path in which databases or tables would read something else.
        """
        root = Path(os.environ.get("ML_ASSETS_HOME", ".ml_assets")).absolute()
        require_fit(root, "the home ML_ASSETS_HOME")
        return cls(
            root=root,
            lake=os.environ.get("ML_ASSETS_LAKE") or str(root / "lake"),
            mlflow=os.environ.get("ML_ASSETS_MLFLOW") or sqlite_url(root / "mlflow" / "mlflow.db"),
        )

    @property
    def dagster(self) -> Path:
        """Dagster's home: its configuration, runs, events and logs."""
        return self.root / "dagster"

    @property
    def mlflow_artifacts(self) -> str:
        """Where MLflow keeps models and plots; empty for a tracking server, which decides itself."""
        return "" if self.mlflow.startswith("http") else str(self.root / "mlflow" / "artifacts")

    @property
    def dbt(self) -> Path:
        """dbt's manifest, compiled SQL and logs."""
        return self.root / "dbt"

    @property
    def coherent(self) -> Path:
        """The fingerprint of the declarations that were last found to agree with one another."""
        return self.root / "coherent"

    @property
    def studies(self) -> str:
        """SQLAlchemy URL of Optuna's studies; ``ML_ASSETS_STUDIES`` names another one."""
        return os.environ.get("ML_ASSETS_STUDIES") or sqlite_url(self.root / "studies.db")

    @property
    def online_store(self) -> str:
        """URL of the online features' store; ``ONLINE_STORE_URL`` names another one, such as redis://host:6379/0."""
        return os.environ.get("ONLINE_STORE_URL") or sqlite_url(self.root / "online.db")

    def prepare(self) -> None:
        """Create the folders, place ``dagster.yaml`` and point the tools of this process at them."""
        for folder in (self.dagster, self.dbt, self.root / "mlflow" / "artifacts"):
            folder.mkdir(parents=True, exist_ok=True)
        settings = DAGSTER_SETTINGS.read_text() + EVENT_STORAGE.format(home=json.dumps(str(self.dagster)))
        placed = self.dagster / "dagster.yaml"
        if not placed.exists() or placed.read_text() != settings:
            placed.write_text(settings)
        self.enter()

    def enter(self) -> None:
        """Point the tools of this process at the folders. Nothing is written."""
        os.environ.update(TELEMETRY_OFF)
        # Idle OpenMP threads would otherwise spin on cores that other libraries' threads need.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.update(ML_ASSETS_HOME=str(self.root), DAGSTER_HOME=str(self.dagster))
