"""Where all state lives: one folder, ``ML_ASSETS_HOME``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.addresses import require_fit, sqlite_url
from ml_assets.environment import hand_down, prepare_libraries, set_defaults

if TYPE_CHECKING:
    from ml_assets.settings import Settings

DAGSTER_SETTINGS = Path(__file__).parent / "dagster.yaml"
"""Dagster's settings in every home, as they come with the platform."""

OPENMP = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Idle OpenMP threads would otherwise spin on cores that other libraries' threads need."""

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

    Attributes:
        lake: a folder or an object-store URL, maybe elsewhere.
        mlflow: address of MLflow's tracking store, maybe elsewhere.
        studies_elsewhere: SQLAlchemy URL of Optuna's studies; empty for a file in the home.
        online_elsewhere: URL of the online features' store; empty for a file in the home.
        trackers: names of trackers that follow training runs beside MLflow.
    """

    root: Path
    lake: str
    mlflow: str
    studies_elsewhere: str = ""
    online_elsewhere: str = ""
    trackers: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: "Settings", within: Path | None = None) -> "Home":
        """Return the home that settings name, by default ``.ml_assets`` in a folder.

        Args:
            within: that folder; the working directory unless given.

        Raises:
            ValueError: a path in which databases or tables would read something else.
        """
        root = (settings.home or (within or Path()) / ".ml_assets").absolute()
        require_fit(root, "the home ML_ASSETS_HOME")
        return cls(
            root=root,
            lake=settings.lake or str(root / "lake"),
            mlflow=settings.mlflow or sqlite_url(root / "mlflow" / "mlflow.db"),
            studies_elsewhere=settings.studies or "",
            online_elsewhere=settings.online_store or "",
            trackers=settings.trackers,
        )

    @classmethod
    def under(cls, root: Path) -> "Home":
        """Return the home in a folder, with nothing elsewhere."""
        return cls(root, str(root / "lake"), sqlite_url(root / "mlflow" / "mlflow.db"))

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
        """SQLAlchemy URL of Optuna's studies."""
        return self.studies_elsewhere or sqlite_url(self.root / "studies.db")

    @property
    def online_store(self) -> str:
        """URL of the online features' store."""
        return self.online_elsewhere or sqlite_url(self.root / "online.db")

    @property
    def spool(self) -> Path:
        """Answers of servers on their way into the lake."""
        return self.root / "spool"

    @property
    def keys(self) -> Path:
        """The keys that servers let in, unless another file is named."""
        return self.root / "keys.json"

    @property
    def audit(self) -> Path:
        """What was done with keys."""
        return self.root / "audit.ndjson"

    @property
    def streams(self) -> Path:
        """What each connector of a stream has said last."""
        return self.root / "streams"

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
        """Set the environment so that the tools of this process use the folders of the home; writes nothing."""
        prepare_libraries()
        set_defaults(OPENMP)
        hand_down(ML_ASSETS_HOME=str(self.root), DAGSTER_HOME=str(self.dagster))
