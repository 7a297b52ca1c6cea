"""Versions of registered models, and the aliases that say which of them serves."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ml_assets.registry.records import CHALLENGER, CHAMPION, LoggedModel, RegisteredVersion
from ml_assets.registry.store.connection import MlflowConnection, all_pages
from ml_assets.registry.store.local import LocalModel
from ml_assets.registry.trackers.interface import Tracker
from ml_assets.registry.trackers.listening import Listening
from ml_assets.registry.trackers.training_run import FAILED

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

_REPLACED, _ROLLED_BACK, _SETTLED = "replaced", "rolled_back_at", "decision_carried_out"


class ModelVersions:
    """The registered models of an MLflow store: versions, aliases, and what a roll-back needs to know.

    Args:
        listeners: trackers beside MLflow, which hear of new versions and of aliases that move.
    """

    def __init__(self, connection: MlflowConnection, listeners: Mapping[str, Tracker]) -> None:
        self._connection = connection
        self._listeners = listeners

    def register(
        self,
        name: str,
        logged: LoggedModel,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        about: str = "",
    ) -> RegisteredVersion:
        """Add a logged model to the registry as the next version of ``name``.

        Args:
            description: of the version.
            about: what the model is, whichever version.
        """
        self._ensure_registered_model(name, about)
        created = self._connection.client.create_model_version(
            name,
            logged.location,
            run_id=logged.run_id,
            tags=dict(tags or {}),
            description=description,
            model_id=logged.model_id,
        )
        registered = _record(created)
        self._announce(name, registered.version, lambda tracker: tracker.version_registered(registered))
        return registered

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias to a version."""
        self._connection.client.set_registered_model_alias(name, alias, version)
        self._announce(name, version, lambda tracker: tracker.alias_moved(name, alias, version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; nothing happens if it is not set."""
        version = self._aliases(name).get(alias)
        if version is not None:
            self._connection.client.delete_registered_model_alias(name, alias)
            self._announce(name, version, lambda tracker: tracker.alias_moved(name, alias, None))

    def promote(self, name: str, version: str, *, over: str | None = None) -> None:
        """Make a version the champion; it remembers which one it replaced, and is no longer the challenger.

        Args:
            over: the champion that it replaces; default: the one that serves.
        """
        reigning = self.champion(name)
        replaced = over or (reigning and reigning.version)
        if replaced is not None and replaced != version:
            self._connection.client.set_model_version_tag(name, version, _REPLACED, replaced)
        self.set_alias(name, CHAMPION, version)
        challenger = self.challenger(name)
        if challenger is not None and challenger.version == version:
            self.delete_alias(name, CHALLENGER)

    def find_earlier(self, name: str, to: str | None = None) -> tuple[str, str]:
        """Find the version to roll back to: by default the one that the champion replaced.

        Returns:
            The version that serves, and the one to serve again.

        Raises:
            LookupError: there is no champion, nothing it replaced, or no such version.
            ValueError: the version serves already.
        """
        reigning = self.champion(name)
        if reigning is None:
            raise LookupError(f"model {name} has no champion, so there is nothing to roll back")
        to = to or reigning.tags.get(_REPLACED)
        known = [item.version for item in self.versions(name)]
        others = [version for version in known if version != reigning.version]
        if to is None:
            advice = f": name one of {', '.join(others)}" if others else ", and there is no other to go back to"
            raise LookupError(f"version {reigning.version} of {name} replaced none{advice}")
        if to not in known:
            raise LookupError(f"model {name} has no version {to}: there are {', '.join(known)}")
        if to == reigning.version:
            raise ValueError(f"version {to} of {name} is the champion already")
        return reigning.version, to

    def serve_again(self, name: str, version: str, *, as_of: datetime) -> None:
        """Make an earlier version the champion from ``as_of`` on; decisions to retrain count their cooldown
        from then."""
        self._connection.client.set_registered_model_tag(name, _ROLLED_BACK, as_of.isoformat())
        self.set_alias(name, CHAMPION, version)

    def settle(self, name: str, decision: str) -> None:
        """Record that a decision on the champion has been carried out."""
        self._connection.client.set_registered_model_tag(name, _SETTLED, decision)

    def settled(self, name: str) -> str | None:
        """Return the decision on the champion that was carried out last, or None."""
        return self._tags(name).get(_SETTLED)

    def run_of(self, name: str, version: str) -> str | None:
        """Return the run that trained a version; None if there is no such version."""
        return next((item.run_id for item in self.versions(name) if item.version == version), None)

    def rolled_back_at(self, name: str) -> datetime | None:
        """Return the moment of the last roll-back, or None."""
        moment = self._tags(name).get(_ROLLED_BACK)
        return None if moment is None else datetime.fromisoformat(moment)

    def find(self, name: str, alias: str) -> RegisteredVersion | None:
        """Return the version an alias points to; None only if the model is not registered or has no such alias.

        Raises:
            RegistryAway: a server does not answer.
            mlflow.exceptions.MlflowException: the store cannot be read.
        """
        version = self._aliases(name).get(alias)
        return None if version is None else self.version(name, version)

    def champion(self, name: str) -> RegisteredVersion | None:
        """Return the version that serves, or None before the first promotion."""
        return self.find(name, CHAMPION)

    def challenger(self, name: str) -> RegisteredVersion | None:
        """Return the version that is the challenger, or None."""
        return self.find(name, CHALLENGER)

    def version(self, name: str, version: str) -> RegisteredVersion:
        """Return one version by its number."""
        local = self._connection.local
        if local is not None and (stored := local.version(name, version)):
            return stored
        return _record(self._connection.client.get_model_version(name, version))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Return every version of a model, the oldest first; empty if it is not registered."""
        if self._connection.is_sqlite:
            local = self._connection.local
            return [] if local is None else local.versions(name)
        listed = all_pages(self._connection.client.search_model_versions, filter_string=f"name = '{name}'")
        return sorted((self.version(name, item.version) for item in listed), key=lambda item: int(item.version))

    def annotate(self, name: str, version: str, *, description: str, tags: Mapping[str, str]) -> None:
        """Replace the description of a version, and set tags."""
        self._connection.client.update_model_version(name, version, description)
        for key, value in tags.items():
            self._connection.client.set_model_version_tag(name, version, key, value)

    def _ensure_registered_model(self, name: str, about: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._connection.client.create_registered_model(name, description=about)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if about and self._connection.client.get_registered_model(name).description != about:
                self._connection.client.update_registered_model(name, about)

    def _announce(self, name: str, version: str, call: Callable[[Tracker], None]) -> None:
        """Call the other trackers; a failure of theirs goes to the log and into a tag of the version."""

        def note(failed: Mapping[str, str]) -> None:
            for tracker, error in failed.items():
                self._connection.client.set_model_version_tag(name, version, f"{FAILED}{tracker}", error)

        Listening(self._listeners, note).call(call)

    def _aliases(self, name: str) -> Mapping[str, str]:
        registered = self._registered(name)
        return {} if registered is None else registered.aliases

    def _tags(self, name: str) -> Mapping[str, str]:
        registered = self._registered(name)
        return {} if registered is None else registered.tags

    def _registered(self, name: str) -> "LocalModel | RegisteredModel | None":
        if self._connection.is_sqlite:
            # Before the file is there nothing is registered; whoever only looks does not make it.
            local = self._connection.local
            return None if local is None else local.model(name)
        from mlflow.exceptions import MlflowException

        try:
            return self._connection.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def _record(stored: "ModelVersion") -> RegisteredVersion:
    return RegisteredVersion.model_validate(
        {
            "name": stored.name,
            "version": str(stored.version),
            "run_id": stored.run_id or "",
            "location": stored.source,
            "aliases": tuple(sorted(stored.aliases)),
            "tags": dict(stored.tags),
        }
    )
