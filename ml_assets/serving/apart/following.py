"""A registry as another process sees it."""

from dataclasses import dataclass

from ml_assets.serving.rollout.champions import Serving, Version, Versions
from ml_assets.training.fit import TrainedModel


@dataclass(frozen=True)
class _Named:
    version: str


class Following:
    """A registry whose champions and challengers are those that another process serves.

    Attributes:
        serving: what it serves.

    Args:
        registry: has the versions.
    """

    def __init__(self, registry: Versions, serving: Serving) -> None:
        self._registry = registry
        self.serving = serving

    def champion(self, name: str) -> Version | None:
        """Return the version that serves there."""
        return _Named(self.serving[name][0])

    def challenger(self, name: str) -> Version | None:
        """Return the version that is tried there; None for none."""
        version = self.serving[name][1]
        return None if version is None else _Named(version)

    def load(self, name: str, *, version: str) -> TrainedModel:
        """Load a version, as the registry does."""
        return self._registry.load(name, version=version)
