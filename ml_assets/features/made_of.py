"""What a feature is made of, by the field of its view that declares it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ml_assets.durations import parse_duration
from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.derived import derived_from
from ml_assets.features.expressions import columns_read
from ml_assets.features.spec import FeatureViewSpec


@dataclass(frozen=True)
class MadeOf:
    """How a feature is computed.

    Attributes:
        field: of the view: latest, lags, aggregates, planned, lookups, request, calendar or derived.
        expression: Polars SQL that declares it; `*` for a count of rows.
        columns: that it reads, of the view's table or of the spine; of a derived feature the features.
        base: its name in the field, where that is another than its own.
        window: length of the window of an aggregate; None for anything else.
        offset: how long before the prediction time what it sees ends.
        function: of an aggregate.
    """

    field: str
    expression: str
    columns: tuple[str, ...]
    base: str
    window: timedelta | None = None
    offset: timedelta = timedelta(0)
    function: str = ""

    @property
    def of_table(self) -> bool:
        """Whether rows of the view's table make it."""
        return self.field not in ("request", "calendar", "derived")


def made_of(view: FeatureViewSpec, feature: str) -> MadeOf:
    """Return how a feature of a view is computed.

    Raises:
        KeyError: the view has no such feature.
    """
    if feature in view.aggregate_features:
        base, function, window = view.aggregate_features[feature]
        spec = view.aggregates[base]
        read = () if spec.of == ALL_ROWS else _columns(view, spec.of)
        return MadeOf("aggregates", spec.of, read, base, parse_duration(window), spec.ends_before, function)
    if feature in view.lags:
        lag = view.lags[feature]
        return MadeOf("lags", lag.of, _columns(view, lag.of), feature, offset=lag.ends_before)
    if feature in view.calendar_features:
        base, part = view.calendar_features[feature]
        at = view.calendar[base].at
        return MadeOf("calendar", part, (at,) if at else (), base)
    if feature in view.derived:
        read = derived_from(view.name, {feature: view.derived[feature]})[feature]
        return MadeOf("derived", view.derived[feature], tuple(read), feature)
    if view.planned is not None and feature in view.planned.features:
        planned = view.planned.features[feature]
        text = view.planned.values[planned.base]
        columns = dict.fromkeys([*_columns(view, text), *view.planned.columns])
        return MadeOf("planned", text, tuple(columns), planned.base, planned.length, -planned.lead)
    field = next(field for field in ("latest", "lookups", "request") if feature in getattr(view, field))
    text = getattr(view, field)[feature]
    return MadeOf(field, text, _columns(view, text), feature)


def as_declared(view: FeatureViewSpec, feature: str) -> dict[str, Any]:
    """Return the part of a view's declaration that makes a feature, as YAML would have it."""
    made = made_of(view, feature)
    own = view.model_dump(mode="json", exclude_defaults=True)
    of_table = ("table", "spine_keys", "known_at", *_BESIDE.get(made.field, ())) if made.of_table else ()
    attributes = {name: own[name] for name in ("name", "spine", "entity", *of_table) if name in own}
    if made.field == "aggregates" and view.aggregates[made.base].windows:
        attributes.pop("windows", None)
    if made.field == "planned":
        attributes["planned"] = own["planned"]
    else:
        attributes[made.field] = {made.base: own[made.field][made.base]}
    return {"type": "ml_assets.FeatureView", "attributes": attributes}


_BESIDE: dict[str, Sequence[str]] = {
    "latest": ("ttl", "order_by"),
    "lags": ("order_by",),
    "planned": ("order_by",),
    "aggregates": ("windows",),
}
"""Field -> fields of the view that say more of its features."""


def _columns(view: FeatureViewSpec, text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(columns_read(view.name, [text])))
