"""The versions that serve, exchanged while requests are answered."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ml_assets.serving.predictor import Predictor
from ml_assets.training.fit import TrainedModel

log = logging.getLogger(__name__)


class Version(Protocol):
    """A registered version."""

    version: str


class Versions(Protocol):
    """What is asked of a registry."""

    def champion(self, name: str) -> Version | None: ...

    def load(self, name: str, *, version: str) -> TrainedModel: ...


@dataclass(frozen=True)
class Served:
    """One version of a model, ready to answer. A request holds on to the one it began with."""

    name: str
    version: str
    predictor: Predictor


class Champions:
    """The champion of each model, by name.

    A version is loaded and asked once before it takes over; the one before answers until then, and goes on doing so
    where the new one cannot be loaded or gives no number.
    """

    def __init__(self, registry: Versions, names: Sequence[str]) -> None:
        """Load every champion.

        Raises:
            LookupError: a model has no champion.
            ValueError: a champion cannot answer.
        """
        self._registry = registry
        self._refused: set[tuple[str, str]] = set()
        self._served = {name: self._load(name, self._version(name)) for name in names}

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._served.values()))

    def find(self, name: str) -> Served | None:
        """The version that serves now; None if the model is not served here."""
        return self._served.get(name)

    def refresh(self) -> list[Served]:
        """Let champions that are new since the last look take over; returns those."""
        changed = []
        for served in self:
            try:
                version = self._version(served.name)
                if version == served.version or (served.name, version) in self._refused:
                    continue
                new = self._load(served.name, version)
            except ValueError as error:
                self._refused.add((served.name, version))
                log.error("%s %s is refused, %s goes on: %s", served.name, version, served.version, error)
                continue
            except (LookupError, OSError) as error:
                log.warning("%s %s goes on, the next look tries again: %s", served.name, served.version, error)
                continue
            self._served[served.name] = new
            log.info("%s %s takes over from %s", served.name, version, served.version)
            changed.append(new)
        return changed

    def _version(self, name: str) -> str:
        champion = self._registry.champion(name)
        if champion is None:
            raise LookupError(f"model {name} has no champion: train and promote one first")
        return champion.version

    def _load(self, name: str, version: str) -> Served:
        predictor = Predictor(self._registry.load(name, version=version))
        predictor.warm_up()
        return Served(name, version, predictor)
