"""What a project declares, by name."""

import dagster as dg
from pydantic import BaseModel

from ml_assets.components.features.outcome import Outcome
from ml_assets.components.features.spine import Spine
from ml_assets.components.model.ml_model import MLModel
from ml_assets.components.project.tree import ProjectTree
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.reading import Fault


def tree_of(definitions: dg.Definitions) -> ProjectTree:
    """Return the tree of declarations that definitions of a project were made of.

    Raises:
        TypeError: they were made of something else.
    """
    tree = definitions.component_tree
    if not isinstance(tree, ProjectTree):
        raise TypeError(f"these definitions come from {type(tree).__name__}, not from a project: use load_project")
    return tree


def declared_in(definitions: dg.Definitions) -> DeclaredProject:
    """Return what loaded definitions declare."""
    declarations = [
        (placed.use_case, placed.component)
        for placed in tree_of(definitions).placed()
        if isinstance(placed.component, BaseModel)
    ]
    wrong = tree_of(definitions).left_out
    return DeclaredProject(declarations, [Fault(use_case, message) for use_case, message in wrong.items()])


def declared_models(definitions: dg.Definitions) -> dict[str, MLModel]:
    """Return every declared model by name."""
    return {model.name: model for model in tree_of(definitions).get_all_components(of_type=MLModel)}


def find_model(definitions: dg.Definitions, name: str) -> MLModel:
    """Return the declared model; raises ValueError with the names of the models that exist."""
    models = declared_models(definitions)
    if name not in models:
        raise ValueError(f"no model {name!r} is declared; there are {', '.join(sorted(models)) or 'none'}")
    return models[name]


def spine_of(definitions: dg.Definitions, model: MLModel) -> Spine:
    """Return the spine that a model names."""
    spines = tree_of(definitions).get_all_components(of_type=Spine)
    return next(spine for spine in spines if spine.name == model.spine)


def outcomes_in(definitions: dg.Definitions) -> list[Outcome]:
    """Return every declared outcome."""
    return list(tree_of(definitions).get_all_components(of_type=Outcome))
