"""Every declared rule with what it sees."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from ml_assets.alerts.evidence import ALERT_EVIDENCE
from ml_assets.alerts.judge import ObservedRule
from ml_assets.alerts.spec import AlertRule
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSource, DeclaredSpine, DeclaredView
from ml_assets.lake import Lake, TableMissing
from ml_assets.modelling.context import ModelContext

ModelRules = tuple[ModelContext, Sequence[AlertRule]]
"""A model and the rules that it declares."""


def observe_rules(
    lake: Lake, models: Iterable[ModelRules], sources: Iterable[DeclaredSource], as_of: datetime
) -> list[ObservedRule]:
    """Return every rule that is declared on some models and sources, with what it sees at a moment.

    What cannot be observed, as nothing was measured yet or a rule wants what there is not, says why.
    """
    of_models = [_of_model(lake, model, rule, as_of) for model, rules in models for rule in rules]
    of_sources = [_of_source(lake, source, rule, as_of) for source in sources for rule in source.alerts]
    return [*of_models, *of_sources]


def _of_model(lake: Lake, model: ModelContext, rule: AlertRule, as_of: datetime) -> ObservedRule:
    about = ("model", model.spec.name, rule, model.spec.owners)
    try:
        seen = ALERT_EVIDENCE.get(rule.evidence).of_model(lake, model, rule, as_of)
    except (ValueError, TableMissing) as error:
        return ObservedRule(*about, why_not=str(error))
    return ObservedRule(*about, observations=seen, why_not="" if seen else "nothing was measured yet")


def _of_source(lake: Lake, source: DeclaredSource, rule: AlertRule, as_of: datetime) -> ObservedRule:
    about = ("source", source.name, rule, source.owners)
    try:
        seen = ALERT_EVIDENCE.get(rule.evidence).of_source(lake, source, rule, as_of)
    except (ValueError, TableMissing) as error:
        return ObservedRule(*about, why_not=str(error))
    return ObservedRule(*about, observations=seen, why_not="" if seen else "nothing was measured yet")


def models_with_rules(
    models: Iterable[DeclaredModel],
    spines: Mapping[str, DeclaredSpine],
    views: Mapping[str, DeclaredView],
    outcomes: Iterable[DeclaredOutcome],
) -> list[ModelRules]:
    """Return the models that declare rules, each in its context; every spine and view that they name must be there."""
    there = list(outcomes)
    return [
        (_context(model, spines[model.spine], [views[name] for name in model.features], there), model.alerts)
        for model in models
        if model.alerts
    ]


def observe_project(lake: Lake, project: DeclaredProject, as_of: datetime) -> list[ObservedRule]:
    """Return every rule that a project declares, with what it sees at a moment.

    Raises:
        ValueError: a model with rules names a spine, a view or an outcome that is not declared.
    """
    outcomes = list(project.outcomes.values())
    models = [
        (_context(model, project.spine_of(model), project.views_of(model), outcomes), model.alerts)
        for model in project.models.values()
        if model.alerts
    ]
    return observe_rules(lake, models, project.sources.values(), as_of)


def _context(
    model: DeclaredModel, spine: DeclaredSpine, views: Sequence[DeclaredView], outcomes: Sequence[DeclaredOutcome]
) -> ModelContext:
    return ModelContext.of(model, spine, views, "", outcomes=outcomes)
