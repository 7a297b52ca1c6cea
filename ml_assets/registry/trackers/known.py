"""Trackers by name."""

from collections.abc import Sequence

from ml_assets.extensions import Extensions
from ml_assets.registry.trackers.interface import Tracker, TrackingPlace
from ml_assets.registry.trackers.listening import Listening

MLFLOW = "mlflow"

TRACKERS: Extensions[type[Tracker]] = Extensions(
    "ml_assets.trackers",
    "tracker",
    {MLFLOW: "ml_assets.registry.trackers.mlflow:MlflowTracker"},
    "ml_assets.registry.trackers.interface:Tracker",
    takes_classes=True,
)


def open_listeners(names: Sequence[str], place: TrackingPlace) -> dict[str, Tracker]:
    """Open the trackers beside MLflow, which always keeps the runs, by name. One that cannot be opened is left out.

    Raises:
        ExtensionError: a name is unknown, or its tracker cannot be loaded.
    """
    beside = {name: TRACKERS.get(name) for name in dict.fromkeys(names) if name != MLFLOW}
    return Listening(beside, lambda _: None).call(lambda tracker: tracker(place))
