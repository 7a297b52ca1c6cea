"""The versions that serve, exchanged while requests are answered."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ml_assets.scoring.predictor import Predictor
from ml_assets.training.fit import TrainedModel
from ml_assets.training.tasks.columns import SCORE, probability_column

log = logging.getLogger(__name__)

KNOWN_WITHIN = 1e-5
"""How far, absolutely and relatively, a score may be from the one known since the version was registered: another
library, or another order of a sum of float32, moves it by about 1e-6; a wrong file or vocabulary by far more."""


class Version(Protocol):
    """A registered version."""

    @property
    def version(self) -> str: ...


class Versions(Protocol):
    """A registry, as far as a server reads it."""

    def champion(self, name: str) -> Version | None: ...

    def challenger(self, name: str) -> Version | None: ...

    def load(self, name: str, *, version: str) -> TrainedModel: ...


Serving = dict[str, tuple[str, str | None]]
"""Model -> version of its champion, and of its challenger where one is tried."""


@dataclass(frozen=True)
class Served:
    """One version of a model, ready to answer. A request holds on to the one it began with."""

    name: str
    version: str
    predictor: Predictor


class Champions:
    """The champion of each model, by name, and the challenger of those that try theirs.

    A version is loaded, asked once, and asked about the rows whose scores are known since it was registered, before it
    takes over. One that cannot be loaded or says something else is refused: the champion before goes on, and of
    challengers there is none. A registry out of reach changes nothing until the next look.
    """

    def __init__(self, registry: Versions, names: Sequence[str], tried: Collection[str] = ()) -> None:
        """Load every champion.

        Args:
            tried: the models whose challengers are wanted too.

        Raises:
            LookupError: a model has no champion.
            ValueError: a champion cannot answer.
        """
        self._registry = registry
        self._tried = frozenset(tried)
        self._refused: dict[tuple[str, str], str] = {}
        self._challengers: dict[str, Served] = {}
        self._served: dict[str, Served] = {}
        for name in names:
            self._served[name] = self._load(name, self._champion_version(name))
        for name in names:
            self._renew_challenger(name)

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._served.values()))

    @property
    def refused(self) -> Mapping[tuple[str, str], str]:
        """Why a version does not serve, by model and version."""
        return self._refused

    def find(self, name: str) -> Served | None:
        """Return the version that serves now; None if the model is not served here."""
        return self._served.get(name)

    def challenger(self, name: str) -> Served | None:
        """Return the version that is tried now; None if none is."""
        return self._challengers.get(name)

    @property
    def serving(self) -> Serving:
        """Which versions serve now."""
        tried = {name: each.version for name, each in list(self._challengers.items())}
        return {each.name: (each.version, tried.get(each.name)) for each in self}

    def refresh(self) -> list[Served]:
        """Replace champions that are out of date, and load new challengers and drop old ones.

        Returns:
            The champions that are new.
        """
        changed = []
        for name in self._served:
            # The champion first: a challenger that was promoted is still at hand.
            new = self._renew_champion(name)
            if new is not None:
                changed.append(new)
            self._renew_challenger(name)
        return changed

    def _renew_champion(self, name: str) -> Served | None:
        reigning = self._served[name]
        try:
            version = self._champion_version(name)
            new = None if version == reigning.version else self._admit(name, version)
        except Exception:
            log.exception("%s %s goes on, the next look tries again", name, reigning.version)
            return None
        if new is not None:
            self._served[name] = new
            log.info("%s %s takes over from %s", name, new.version, reigning.version)
        return new

    def _renew_challenger(self, name: str) -> None:
        if name not in self._tried:
            return
        trying = self._challengers.get(name)
        try:
            registered = self._registry.challenger(name)
            if registered is None or registered.version == self._served[name].version:
                new = None
            elif trying is not None and trying.version == registered.version:
                return
            else:
                new = self._admit(name, registered.version)
        except Exception:
            log.exception("the challenger of %s stays as it is, the next look tries again", name)
            return
        if new is not None:
            self._challengers[name] = new
            log.info("%s %s is tried beside %s", name, new.version, self._served[name].version)
        elif trying is not None:
            del self._challengers[name]
            log.info("%s %s is no longer tried", name, trying.version)

    def _champion_version(self, name: str) -> str:
        champion = self._registry.champion(name)
        if champion is None:
            raise LookupError(f"model {name} has no champion: train and promote one first")
        return champion.version

    def _admit(self, name: str, version: str) -> Served | None:
        """Load a version, ready to answer; None if it is refused, now or before."""
        trying = self._challengers.get(name)
        if trying is not None and trying.version == version:
            return trying
        if (name, version) in self._refused:
            return None
        try:
            return self._load(name, version)
        except ValueError as error:
            self._refused[name, version] = str(error)
            log.error("%s %s is refused: %s", name, version, error)
            return None

    def _load(self, name: str, version: str) -> Served:
        predictor = Predictor(self._registry.load(name, version=version))
        predictor.warm_up()
        require_known_answers(predictor)
        return Served(name, version, predictor)


def require_known_answers(predictor: Predictor) -> None:
    """Check the scores of the rows whose scores are known; a version registered without any passes.

    Raises:
        ValueError: a row is not taken, or its score is another.
    """
    known = predictor.model.known
    if known is None or not known.rows:
        return
    answer = predictor.predict(predictor.encode_rows(known.rows))
    classes = predictor.model.classes
    scores = answer[SCORE] if classes is None else np.transpose([answer[probability_column(each)] for each in classes])
    known.require(scores, within=KNOWN_WITHIN)
