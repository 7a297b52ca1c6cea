"""MLModel: one declared model as the assets of its life, from training set to performance report."""

import dagster as dg

from ml_assets.components.declared import use_case
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.outcome import Outcome
from ml_assets.components.features.spine import find_spine
from ml_assets.components.scaffolders.components import MLModelScaffolder
from ml_assets.components.sources.source import Source
from ml_assets.declarations.specs import DeclaredModel
from ml_assets.modelling.context import ModelContext


@dg.scaffold_with(MLModelScaffolder)
class MLModel(DeclaredModel, dg.Component, dg.Resolvable):
    """A model: tuned, trained, evaluated, promoted, scored and watched."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        from ml_assets.components.model.drift import drift_assets
        from ml_assets.components.model.evaluation import evaluation_assets
        from ml_assets.components.model.performance import performance_assets
        from ml_assets.components.model.promotion import promotion_assets
        from ml_assets.components.model.retraining import retraining_assets
        from ml_assets.components.model.scoring import scoring_assets
        from ml_assets.components.model.serving import serving_assets
        from ml_assets.components.model.training import training_assets

        model = self.in_context(context)
        return dg.Definitions(
            assets=[
                *training_assets(model),
                *evaluation_assets(model),
                *promotion_assets(model),
                *scoring_assets(model),
                *serving_assets(model),
                *drift_assets(model),
                *performance_assets(model),
                *retraining_assets(model, context.component_tree.get_all_components(of_type=Source)),
            ]
        )

    def in_context(self, context: dg.ComponentLoadContext) -> ModelContext:
        """Resolve the names of spine and views; raises ValueError for a view that does not exist."""
        spine = find_spine(context, self.spine)
        declared = {view.name: view for view in context.component_tree.get_all_components(of_type=FeatureView)}
        unknown = [name for name in self.features if name not in declared]
        if unknown:
            there = ", ".join(sorted(declared)) or "none"
            raise ValueError(f"features: {', '.join(unknown)} is not declared; there are {there}")
        contracts = {
            source.table("validated"): source.contract
            for source in context.component_tree.get_all_components(of_type=Source)
        }
        if spine.contract:
            contracts[spine.table] = spine.contract
        views = [declared[name] for name in self.features]
        outcomes = context.component_tree.get_all_components(of_type=Outcome) if self.label.outcome else ()
        return ModelContext.of(self, spine, views, use_case(context), contracts, context.project_root, outcomes)
