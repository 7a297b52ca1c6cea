"""MLModel: one declared model as the assets of its life, from training set to performance report."""

import dagster as dg
from pydantic import Field

from ml_assets.components.declared import use_case
from ml_assets.components.feature_view import FeatureView
from ml_assets.components.model_context import ModelContext
from ml_assets.components.scaffolders import MLModelScaffolder
from ml_assets.components.spine import find_spine
from ml_assets.freshness import Freshness
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.serving.spec import ServingSpec
from ml_assets.training.spec import ModelSpec


@dg.scaffold_with(MLModelScaffolder)
class MLModel(ModelSpec, dg.Component, dg.Resolvable):
    """A model: tuned, trained, evaluated, promoted, scored and watched."""

    spine: str = Field(description="Name of the spine that holds the rows to predict.")
    monitoring: MonitoringSpec = Field(
        default_factory=MonitoringSpec, description="How the model is watched in production."
    )

    retraining: RetrainingSpec = Field(
        default_factory=RetrainingSpec, description="When the model is trained again, and how often at most."
    )
    serving: ServingSpec | None = Field(
        default=None, description="How the model answers requests; absent: its answers are not gathered or checked."
    )
    freshness: Freshness = Field(
        default_factory=lambda: Freshness(warn="25d", fail="30d"), description="How old the champion may be."
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        from ml_assets.components.evaluation_assets import evaluation_assets
        from ml_assets.components.monitoring_assets import monitoring_assets
        from ml_assets.components.retraining_assets import retraining_assets
        from ml_assets.components.scoring_assets import scoring_assets
        from ml_assets.components.serving_assets import serving_assets
        from ml_assets.components.training_assets import training_assets

        model = self.in_context(context)
        return dg.Definitions(
            assets=[
                *training_assets(model),
                *evaluation_assets(model),
                *scoring_assets(model),
                *serving_assets(model),
                *monitoring_assets(model),
                *retraining_assets(model),
            ]
        )

    def in_context(self, context: dg.ComponentLoadContext) -> ModelContext:
        """The declaration with its spine and views found; raises ValueError for a view that does not exist."""
        spine = find_spine(context, self.spine)
        declared = {view.name: view for view in context.component_tree.get_all_components(of_type=FeatureView)}
        unknown = [name for name in self.features if name not in declared]
        if unknown:
            there = ", ".join(sorted(declared)) or "none"
            raise ValueError(f"features: {', '.join(unknown)} is not declared; there are {there}")
        return ModelContext.of(self, spine, [declared[name] for name in self.features], use_case(context))
