"""Self-hosted ML for tabular data: declarations become a Dagster asset graph, from raw data to retraining."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_assets.cards.card import ModelCard as ModelCard
    from ml_assets.public.features import IncompleteFacts as IncompleteFacts
    from ml_assets.public.model import ProjectModel as ProjectModel
    from ml_assets.public.opening import open_project as open_project
    from ml_assets.public.project import Project as Project
    from ml_assets.public.unknown import UnknownName as UnknownName

__version__ = "0.1.0"

COMPONENTS = {
    "DbtTables": "dbt.tables",
    "FeatureView": "features.feature_view",
    "MLModel": "model.ml_model",
    "Outcome": "features.outcome",
    "Source": "sources.source",
    "Spine": "features.spine",
}
"""What a ``defs.yaml`` can declare -> the module that makes it."""

PUBLIC = {
    "IncompleteFacts": "public.features",
    "ModelCard": "cards.card",
    "Project": "public.project",
    "ProjectModel": "public.model",
    "UnknownName": "public.unknown",
    "open_project": "public.opening",
}
"""What is used from Python -> the module that has it; each is loaded when it is first named."""


def __getattr__(name: str) -> Any:
    # Components need Dagster, which a notebook that only wants the domain packages should not load.
    reading = sys.modules.get("ml_assets.declarations.python_files")
    if reading is not None and (name in COMPONENTS or name == "declare") and (plain := reading.stand_in(name)):
        return plain
    if name in COMPONENTS:
        return getattr(import_module(f"ml_assets.components.{COMPONENTS[name]}"), name)
    if name in PUBLIC:
        return getattr(import_module(f"ml_assets.{PUBLIC[name]}"), name)
    if name == "testing":
        return import_module("ml_assets.testing")
    if name == "declare":
        return import_module("ml_assets.components.project.tree").declare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *COMPONENTS, *PUBLIC, "declare", "testing"]
