"""Finds what a project declares by name."""

import dagster as dg
from pydantic import BaseModel

from ml_assets.components.features.spine import Spine
from ml_assets.components.model.ml_model import MLModel
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.reading import Fault


def declared_in(definitions: dg.Definitions) -> DeclaredProject:
    """What loaded definitions declare."""
    placed = definitions.component_tree.placed()
    found = [(one.use_case, one.component) for one in placed if isinstance(one.component, BaseModel)]
    wrong = definitions.component_tree.left_out
    return DeclaredProject(found, [Fault(use_case, message) for use_case, message in wrong.items()])


def declared_models(definitions: dg.Definitions) -> dict[str, MLModel]:
    """Every declared model by name."""
    return {model.name: model for model in definitions.component_tree.get_all_components(of_type=MLModel)}


def find_model(definitions: dg.Definitions, name: str) -> MLModel:
    """The declared model; raises ValueError naming those there are."""
    models = declared_models(definitions)
    if name not in models:
        raise ValueError(f"no model {name!r} is declared; there are {', '.join(sorted(models)) or 'none'}")
    return models[name]


def spine_of(definitions: dg.Definitions, model: MLModel) -> Spine:
    """The spine that a model names."""
    spines = definitions.component_tree.get_all_components(of_type=Spine)
    return next(spine for spine in spines if spine.name == model.spine)
