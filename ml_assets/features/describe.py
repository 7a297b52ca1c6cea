"""Features in words."""

from ml_assets.features.aggregates import AggregateSpec
from ml_assets.features.declared.calendar import CalendarPartsSpec
from ml_assets.features.declared.lags import LagSpec
from ml_assets.features.declared.plans import PlanSpec
from ml_assets.features.spec import FeatureViewSpec


def describe_features(view: FeatureViewSpec) -> dict[str, str]:
    """Describe each feature of a view by the expression that declares it."""
    of, old = {name: spec.of for name, spec in view.aggregates.items()}, f", at most {view.ttl} old" if view.ttl else ""
    entity = ", ".join(view.entity) or "the table"
    described = {
        **{name: f"{sql}, of the last row known of {entity}{old}." for name, sql in view.latest.items()},
        **{name: f"{spec.of}, of the last row known of {entity} {_before(spec)}." for name, spec in view.lags.items()},
        **{
            name: f"{function} of {of[base]} over {window}{_ending(view.aggregates[base])}, of {entity}."
            for name, (base, function, window) in view.aggregate_features.items()
        },
        **{name: f"{text}, of {entity}." for name, text in describe_planned(view.planned).items()},
        **{name: f"{sql}, of the row of {entity}." for name, sql in view.lookups.items()},
        **{name: f"{sql}, of the row to predict." for name, sql in view.request.items()},
        **{name: f"{part} of {_moment(view.calendar[base])}." for name, (base, part) in view.calendar_features.items()},
        **{name: f"{sql}, of features of the same row." for name, sql in view.derived.items()},
    }
    return {
        name: f"{text[:-1]}; for derived features alone." if name in view.hidden else text
        for name, text in described.items()
    }


def describe_planned(plan: PlanSpec | None) -> dict[str, str]:
    """Describe each feature of planned facts."""
    if plan is None:
        return {}
    described = {}
    for name, feature in plan.features.items():
        if feature.function is None:
            spec = plan.holding[feature.base]
            moment = f"at {spec.at}" if spec.at else f"{spec.after} ahead" if spec.after else "at the prediction time"
            described[name] = f"{spec.of} that holds {moment}, as announced"
        else:
            length, at = name.rpartition("_")[2], feature.at
            window = f"the {length} up to {at}" if at else f"the {length} ahead"
            described[name] = f"{feature.function} of {plan.aggregates[feature.base].of} planned in {window}"
    return described


def _before(lag: LagSpec) -> str:
    return f"{lag.offset} before" + (f", at most {lag.ttl} old then" if lag.ttl else "")


def _ending(aggregate: AggregateSpec) -> str:
    return f" that end {aggregate.offset} before" if aggregate.offset else ""


def _moment(calendar: CalendarPartsSpec) -> str:
    region = f" ({calendar.subdivision})" if calendar.subdivision else ""
    country = f", holidays of {calendar.country}{region}" if calendar.country else ""
    return f"{calendar.at or 'the prediction time'} in {calendar.time_zone}{country}"
