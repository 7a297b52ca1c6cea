"""The card of a version, as the command line writes it."""

from ml_assets.cards.card import ModelCard
from ml_assets.console.stores import Stores

TABLES = (
    "champion",
    "model",
    "training_set",
    "evaluation",
    "fairness",
    "drift_report",
    "performance_report",
)
"""Tables of a model that its card is read from."""


def read_model_card(stores: Stores, model: str, version: str) -> ModelCard:
    """Return the card of a version, which is put together again when something about it has changed.

    Raises:
        UnknownName: no model, or no version of it, has this name.
    """
    declared = stores.project.models[model]
    tables = [f"{declared.name}/{table}" for table in TABLES]
    return stores.read(("card", model, version), tables, lambda: stores.project.model(model, version).card())
