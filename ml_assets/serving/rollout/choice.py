"""Which version answers: the champion, or for some keys the challenger."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_assets.serving.declared import ServedModel
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.rollout.challenger import CANARY, CHAMPION, is_canary
from ml_assets.serving.rollout.champions import Champions, Served

Choice = tuple[Served, str]
"""A version and its role."""


class Choosing:
    """Finds the version for a request, and for each of its rows."""

    def __init__(self, champions: Champions) -> None:
        self._champions = champions

    def named(self, name: str, version: str | None) -> Served:
        """Return the champion of a model; raises BadRequest (404) if it, or this version of it, is not served."""
        served = self._champions.find(name)
        if served is None:
            raise BadRequest(f"model {name[:60]!r} is not served; there are {self._names()}", 404)
        if version not in (None, served.version):
            raise BadRequest(f"version {version[:20]!r} of {name} is not served; there is {served.version}", 404)
        return served

    def only(self) -> Served:
        """Return the only model that is served; raises BadRequest (404) if there are several."""
        served = list(self._champions)
        if len(served) != 1:
            raise BadRequest(f"/invocations names no model: of {self._names()} ask /v2/models/NAME/infer", 404)
        return served[0]

    def by_row(
        self, champion: Served, declared: ServedModel, rows: Sequence[Mapping[str, Any]], pinned: bool
    ) -> list[Choice] | None:
        """Choose the version for each row; None where the champion answers all of them.

        Args:
            champion: the version that the request began with.
            pinned: whether the request names its version.
        """
        share = declared.serving.canary
        challenger = self._champions.challenger(champion.name) if share and not pinned else None
        if challenger is None or challenger.version == champion.version:
            return None
        keys = ([row[name] for name in declared.key] for row in rows)
        sides = [is_canary(champion.name, key, share) for key in keys]
        return [(challenger, CANARY) if side else (champion, CHAMPION) for side in sides] if any(sides) else None

    def _names(self) -> str:
        return ", ".join(served.name for served in self._champions)
