"""Features in words."""

from ml_assets.features.spec import FeatureViewSpec


def describe_features(view: FeatureViewSpec) -> dict[str, str]:
    """Describe each feature of a view by the expression that declares it."""
    of, old = {name: spec.of for name, spec in view.aggregates.items()}, f", at most {view.ttl} old" if view.ttl else ""
    entity = ", ".join(view.entity) or "the table"
    return {
        **{name: f"{sql}, of the last row known of {entity}{old}." for name, sql in view.latest.items()},
        **{
            name: f"{function} of {of[base]} over {window}, of {entity}."
            for name, (base, function, window) in view.aggregate_features.items()
        },
        **{name: f"{sql}, of the row of {entity}." for name, sql in view.lookups.items()},
        **{name: f"{sql}, of the row to predict." for name, sql in view.request.items()},
    }
