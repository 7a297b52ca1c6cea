"""Every feature of a project: searched, and the one that needs attention first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ml_assets.console.pages.feature.use import HEALTH, FeatureDrift
from ml_assets.declarations.specs import DeclaredModel, DeclaredView
from ml_assets.features.describe import describe_features

Order = Literal["worst", "name"]


@dataclass(frozen=True)
class FeatureLine:
    """A feature in the list of all.

    Attributes:
        words: what it is.
        models: that use it.
        drift: what each of them says of it on its newest drop, where it is watched.
    """

    view: str
    name: str
    words: str
    entity: tuple[str, ...]
    owners: tuple[str, ...]
    tags: Mapping[str, str]
    models: tuple[str, ...]
    drift: tuple[FeatureDrift, ...]

    @property
    def worst(self) -> FeatureDrift | None:
        """The drift of the model that it hurts most."""
        return min(self.drift, key=lambda d: (HEALTH[d.health], -(d.psi or 0.0), d.model), default=None)

    @property
    def health(self) -> str:
        return "not watched" if self.worst is None else self.worst.health

    def mentions(self, words: Iterable[str]) -> bool:
        """Return whether each of some words is in one of its names, whatever its case."""
        tags = [f"{name}:{value}" for name, value in self.tags.items()]
        texts = [self.name, self.view, *self.entity, *self.owners, *tags, *self.models]
        return all(any(word in text.lower() for text in texts) for word in words)


def catalogue(
    views: Iterable[DeclaredView],
    models: Sequence[DeclaredModel],
    drift_of: Callable[[DeclaredModel], Mapping[str, FeatureDrift]],
) -> list[FeatureLine]:
    """List every feature that models can get.

    Args:
        drift_of: what a model's newest drift report says of each feature.
    """
    drifts = {model.name: drift_of(model) for model in models}
    lines = []
    for view in views:
        using, words = [model.name for model in models if view.name in model.features], describe_features(view)
        for name in view.feature_names:
            drift = tuple(drifts[model][name] for model in using if name in drifts[model])
            about = (view.name, name, words[name], tuple(view.entity), tuple(view.owners), view.tags)
            lines.append(FeatureLine(*about, tuple(using), drift))
    return lines


def search(lines: Iterable[FeatureLine], text: str, order: Order = "worst") -> list[FeatureLine]:
    """Return the features in which each word of a text occurs, in some order."""
    wanted = text.lower().split()
    return sorted((line for line in lines if line.mentions(wanted)), key=_ORDERS[order])


def _by_name(line: FeatureLine) -> tuple:
    return (line.name, line.view)


def _by_health(line: FeatureLine) -> tuple:
    return (HEALTH[line.health], -(line.worst.psi or 0.0) if line.worst else 0.0, line.name, line.view)


_ORDERS: Mapping[str, Callable[[FeatureLine], tuple]] = {"worst": _by_health, "name": _by_name}
