"""Self-hosted ML for tabular data: declarations become a Dagster asset graph, from raw data to retraining."""

import sys
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

COMPONENTS = {
    "DbtTables": "dbt.tables",
    "FeatureView": "features.feature_view",
    "MLModel": "model.ml_model",
    "Source": "sources.source",
    "Spine": "features.spine",
}
"""What a ``defs.yaml`` can declare -> the module that makes it."""


def __getattr__(name: str) -> Any:
    # Components need Dagster, which a notebook that only wants the domain packages should not load.
    reading = sys.modules.get("ml_assets.declarations.python_files")
    if reading is not None and (name in COMPONENTS or name == "declare") and (plain := reading.stand_in(name)):
        return plain
    if name in COMPONENTS:
        return getattr(import_module(f"ml_assets.components.{COMPONENTS[name]}"), name)
    if name == "declare":
        return import_module("ml_assets.components.project.tree").declare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *COMPONENTS, "declare"]
