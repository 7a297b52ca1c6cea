"""Self-hosted ML for tabular data: declarations become a Dagster asset graph, from raw data to retraining."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_COMPONENTS = {
    "DbtTables": "dbt_tables",
    "FeatureView": "feature_view",
    "MLModel": "ml_model",
    "Source": "source",
    "Spine": "spine",
}


def __getattr__(name: str) -> Any:
    # Components need Dagster, which a notebook that only wants the domain packages should not load.
    if name in _COMPONENTS:
        return getattr(import_module(f"ml_assets.components.{_COMPONENTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_COMPONENTS]
