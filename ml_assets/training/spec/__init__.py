"""What a user declares about a model: its rows, label, features, split, search, floors and promotion rule."""

from ml_assets.training.kinds.parameters import ParameterRange
from ml_assets.training.spec.card import CardSpec
from ml_assets.training.spec.declared import Declared
from ml_assets.training.spec.judging import BaselineSpec, EvaluationSpec, LeakSpec, PromotionSpec
from ml_assets.training.spec.learning import IntervalSpec, SearchSpec, TrainingSpec, default_space
from ml_assets.training.spec.model import ModelSpec
from ml_assets.training.spec.rows import LabelSpec, SpineSpec, SplitSpec

__all__ = [
    "BaselineSpec",
    "CardSpec",
    "Declared",
    "EvaluationSpec",
    "IntervalSpec",
    "LabelSpec",
    "LeakSpec",
    "ModelSpec",
    "ParameterRange",
    "PromotionSpec",
    "SearchSpec",
    "SpineSpec",
    "SplitSpec",
    "TrainingSpec",
    "default_space",
]
