"""Trackers by name."""

from collections.abc import Sequence

from ml_assets.extensions import Extensions
from ml_assets.registry.trackers.interface import Tracker, TrackingPlace

MLFLOW = "mlflow"

TRACKERS: Extensions[type[Tracker]] = Extensions(
    "ml_assets.trackers", "tracker", {MLFLOW: "ml_assets.registry.trackers.mlflow:MlflowTracker"}
)


def open_listeners(names: Sequence[str], place: TrackingPlace) -> dict[str, Tracker]:
    """Open the trackers beside MLflow, by name.

    Raises:
        ValueError: MLflow, which is the registry, is not among the names; or a name is unknown (`ExtensionError`).
    """
    if MLFLOW not in names:
        raise ValueError(f"trackers {list(names)}: {MLFLOW} is missing, which is the registry: add it to the list")
    return {name: TRACKERS.get(name)(place) for name in dict.fromkeys(names) if name != MLFLOW}
