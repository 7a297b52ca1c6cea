"""What is known of each model."""

from dataclasses import dataclass

from ml_assets.console.stores import Stores


@dataclass(frozen=True)
class FleetRow:
    """A model among the others."""

    model: str
    owners: tuple[str, ...]
    tags: dict[str, str]


def read_fleet(stores: Stores) -> list[FleetRow]:
    """Read every declared model."""
    models = stores.project.models.values()
    return [FleetRow(model.name, tuple(model.owners), dict(model.tags)) for model in models]
