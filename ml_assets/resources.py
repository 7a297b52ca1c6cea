"""What assets reach the outside through: lake, registry and online store, and the moment they look from."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ml_assets.lake import Lake
from ml_assets.registry.registry import EXPERIMENT

if TYPE_CHECKING:
    from ml_assets.online.stores.protocol import OnlineStore
    from ml_assets.registry.registry import Registry


class LakeResource(dg.ConfigurableResource):
    """The lake's root: a folder or an object-store URL."""

    root: str

    def open(self) -> Lake:
        return Lake(self.root)


class AsOf(dg.ConfigurableResource):
    """The moment that training looks from: nothing known later is used.

    Empty means the end of the newest drop in the spine.
    """

    moment: str = ""

    def resolve(self, newest: datetime) -> datetime:
        """Return ``moment`` as a UTC datetime, or ``newest`` if it is empty.

        Raises:
            ValueError: ``moment`` is no ISO 8601 date or date-time.
        """
        if not self.moment:
            return newest
        given = datetime.fromisoformat(self.moment)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


class StudiesResource(dg.ConfigurableResource):
    """Where searches for parameters are kept, to go on with: an SQLAlchemy URL."""

    url: str


class OnlineStoreResource(dg.ConfigurableResource):
    """The online features' store, by its address."""

    url: str

    def open(self) -> "OnlineStore":
        from ml_assets.online.stores.opening import open_store

        return open_store(self.url)


class RegistryResource(dg.ConfigurableResource):
    """MLflow: its tracking address and where it keeps artifacts; and the trackers beside it."""

    tracking_uri: str
    artifacts: str = ""
    experiment: str = EXPERIMENT
    trackers: list[str] = Field(default=[])

    def open(self) -> "Registry":
        from ml_assets.registry.registry import Registry

        return Registry(self.tracking_uri, self.artifacts or None, self.experiment, self.trackers)
