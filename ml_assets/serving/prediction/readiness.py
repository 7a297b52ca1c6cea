"""Whether the views that models look up are there, and new enough for requests to come."""

import logging
from collections.abc import Mapping

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.freshness import Freshness
from ml_assets.online.completeness import ViewState, view_state
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.stores.records import EXPIRED, FRESH, MISSING
from ml_assets.serving.declared import Declarations, ServedModel

log = logging.getLogger(__name__)


class Readiness:
    """Looks at the views of models now and then, and logs each change by a line.

    A model is not ready while a view is missing or expired: what it looks up is null then. With `serving.require`
    that is so of the views named there, and of those too about which nothing was reported for `freshness.fail`. A
    model with a fallback answers all the same, and is ready.

    Args:
        store: of the features; None where no view is online.
    """

    def __init__(self, declared: Declarations, store: OnlineStore | None) -> None:
        self._store = store
        self._models = {name: model for name, model in declared.models.items() if _looked_up(model)}
        self._views: dict[str, tuple[FeatureViewSpec, Freshness]] = {
            view.name: (view, model.freshness.get(view.name, Freshness()))
            for model in self._models.values()
            for view in model.views
            if view.table is not None
        }
        self._states: dict[str, ViewState] = {}
        self._faults: dict[str, str] = {}

    @property
    def states(self) -> Mapping[str, ViewState]:
        """How each view stood at the last look, by name."""
        return self._states

    @property
    def faults(self) -> Mapping[str, str]:
        """Why a model was not ready at the last look, by name; empty for those that were."""
        return self._faults

    def reason(self, model: str = "") -> str:
        """Return why a model is not ready, without a name any of them; empty where it is."""
        if model:
            return self._faults.get(model, "")
        return "; ".join(fault for fault in self._faults.values() if fault)

    def look(self, at: int | None) -> None:
        """Look at all views.

        Args:
            at: the moment, microseconds; None where each request names its own: a view that has a build is there then.
        """
        if self._store is None:
            return
        try:
            states = {
                name: view_state(self._store, view, freshness, at) for name, (view, freshness) in self._views.items()
            }
        except StoreUnavailable as error:
            faults = {name: "" if _falls_back(each) else f"{name}: {error}" for name, each in self._models.items()}
        else:
            faults = {name: _fault(model, states) for name, model in self._models.items()}
            self._log_views(states)
            self._states = states
        self._log_models(faults)
        self._faults = faults

    def _log_views(self, states: Mapping[str, ViewState]) -> None:
        for name, now in states.items():
            before = self._states.get(name)
            good = now.state == FRESH
            if (before is None and good) or (before is not None and _kind(before) == _kind(now)):
                continue
            log.log(logging.INFO if good else logging.WARNING, "%s", now)

    def _log_models(self, faults: Mapping[str, str]) -> None:
        for name, fault in faults.items():
            before = self._faults.get(name, "")
            if fault and fault != before:
                log.warning("not ready: %s", fault)
            elif before and not fault:
                log.info("ready again: %s", name)


def _looked_up(model: ServedModel) -> list[str]:
    return [view.name for view in model.views if view.table is not None]


def _falls_back(model: ServedModel) -> bool:
    require = model.serving.require
    return require is not None and require.fallback is not None


def _kind(view: ViewState) -> tuple[str, bool]:
    return view.state, view.failing


def _fault(model: ServedModel, states: Mapping[str, ViewState]) -> str:
    """Return why a model is not ready; empty where it is."""
    require = model.serving.require
    if _falls_back(model):
        return ""
    named = _looked_up(model) if require is None or not require.views else require.views
    required = [states[name] for name in named if name in states]
    wrong = [
        str(view) for view in required if view.state in (MISSING, EXPIRED) or (require is not None and view.failing)
    ]
    return f"{model.name}: {'; '.join(wrong)}" if wrong else ""
