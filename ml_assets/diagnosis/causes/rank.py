"""Causes in the order of what they explain, on one scale: parts of the change of the mean loss.

A known cause takes what it explains with it: a change of units and an event upstream take the features that they moved
and the slices that these make up. What is left competes: slices whose relation changed, a relation that changed
everywhere, and inputs that moved into what was always hard to predict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ml_assets.diagnosis.causes.record import FallCause, SliceLoss
from ml_assets.diagnosis.causes.upstream import Origin, SourceColumn, UpstreamEvent, reached
from ml_assets.diagnosis.shift.decomposition import Decomposition
from ml_assets.diagnosis.shift.moved import MovedFeature

LEAST_SHARE = 0.1
"""FallPart of the change from which something counts as a cause."""
LEAST_IMPORTANCE = 0.02
"""How much the model must listen to a column for a change of its unit to matter, 0 to 1."""
_LISTED = 5


@dataclass(frozen=True)
class Findings:
    """What a diagnosis has measured.

    Attributes:
        loss: what a row loses, in words.
        change: of the mean loss; above 0 is worse.
        origins: feature -> where it comes from; empty where that is not known.
        restored: part of the change that is gone once all changes of units are undone; None where that was not tried.
    """

    loss: str
    change: float
    decomposition: Decomposition
    slices: Sequence[SliceLoss]
    moved: Sequence[MovedFeature]
    events: Sequence[UpstreamEvent] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    restored: float | None = None


def rank_causes(found: Findings) -> list[FallCause]:
    """Return the causes of a fall, the one that explains most first."""
    units, by_unit = _unit_changes(found)
    upstream, by_event = _upstream(found, by_unit)
    taken = by_unit | by_event
    inputs = _inputs(found, taken)
    explained = taken | {name for cause in inputs for name in cause.features}
    slices = _slices(found, explained)
    named = [*units, *upstream, *slices]
    causes = [*named, *inputs, *_relation(found, named)]
    causes = [cause for cause in causes if cause.share >= LEAST_SHARE]
    return sorted(causes, key=lambda cause: -cause.share)


def _share(found: Findings, part: float) -> float:
    """Return a part of the change of the mean loss as a share of it; of no rise, of the part itself."""
    whole = max(found.change, part, 1e-300)
    return min(max(part / whole, 0.0), 1.0)


def _unit_changes(found: Findings) -> tuple[list[FallCause], set[str]]:
    """Return a cause for each change of units with harm, and the features of all changes."""
    by_change: dict[tuple[str, str | None], list[MovedFeature]] = {}
    for moved in found.moved:
        if moved.unit is not None:
            origin = found.origins.get(moved.feature)
            by_change.setdefault((moved.unit.name, origin.table if origin else moved.feature), []).append(moved)
    causes = []
    for (name, _), features in by_change.items():
        first = features[0]
        restored = found.restored if len(by_change) == 1 else None
        share = _share_of_unit(found, features) if restored is None else min(max(restored, 0.0), 1.0)
        columns = _columns(found, features)
        where = f" ({', '.join(_named(column) for column in columns)})" if columns else ""
        proof = "" if restored is None else f"; scored in the old unit, {restored:.0%} of it is gone"
        names = _listed([each.feature for each in features])
        unit = first.unit
        text = (
            f"{names}{where}: values are as if the unit had changed from {name}"
            + ("" if unit is None else f", by quantiles new = {unit.fitted_slope:.4g} * old + {unit.fitted_offset:.4g}")
            + f"; {_part(found, share)} comes with it{proof}"
        )
        causes.append(
            FallCause(
                kind="unit_change",
                subject=_named(columns[0]) if columns else first.feature,
                share=share,
                text=text,
                features=tuple(each.feature for each in features),
                columns=columns,
                unit=unit,
                restored=restored,
                events=tuple(_events_of(found, [each.feature for each in features])),
            )
        )
    return causes, {each.feature for features in by_change.values() for each in features}


def _share_of_unit(found: Findings, features: Sequence[MovedFeature]) -> float:
    """Return what a change of units may explain where the model cannot be asked: all that no slice explains whose
    relation changed, if the model listens to the column; else what comes with the shift."""
    names = {each.feature for each in features}
    if any((each.importance or 0.0) >= LEAST_IMPORTANCE for each in features):
        others = (each.share for each in found.slices if each.is_relation and not each.columns & names)
        return max(1 - sum(others), 0.0)
    return _share(found, max((each.harm for each in features if each.is_harmful), default=0.0))


def _upstream(found: Findings, taken: set[str]) -> tuple[list[FallCause], set[str]]:
    """Return a cause for each source whose events reached features that moved with harm, and these features."""
    harmful = {each.feature: each for each in found.moved if each.may_be_harmful and each.feature not in taken}
    causes, explained = [], set()
    for source, (events, names) in reached(found.events, list(harmful), found.origins).items():
        features = [harmful[name] for name in names]
        share = _share(found, max(each.harm for each in features))
        happened = "; ".join(event.text for event in events)
        moved = "; ".join(each.text for each in features[:_LISTED])
        causes.append(
            FallCause(
                kind="upstream",
                subject=source,
                share=share,
                text=f"{source}: {happened}. Of its features, {moved}; {_part(found, share)} comes with that",
                features=tuple(names),
                columns=_columns(found, features),
                events=tuple(events),
            )
        )
        explained |= set(names)
    return causes, explained


def _inputs(found: Findings, taken: set[str]) -> list[FallCause]:
    """Return a cause for the harmful features of each table, which move together, and of each feature without one."""
    groups: dict[str, list[MovedFeature]] = {}
    for each in found.moved:
        if each.is_harmful and each.feature not in taken:
            origin = found.origins.get(each.feature)
            groups.setdefault(each.feature if origin is None or origin.table is None else origin.table, []).append(each)
    return [
        FallCause(
            kind="inputs",
            subject=group,
            share=(share := _share(found, features[0].harm)),
            text=f"{_moved_of(group, features)}: {_part(found, share)} comes with values such as there were fewer of"
            " before",
            features=tuple(each.feature for each in features),
            columns=_columns(found, features),
        )
        for group, features in groups.items()
    ]


def _moved_of(group: str, features: Sequence[MovedFeature]) -> str:
    if len(features) == 1:
        return features[0].text
    return f"{features[0].text}, and so did {len(features) - 1} more features of {group}"


def _part(found: Findings, share: float) -> str:
    return f"{share:.0%} of the rise of the mean {found.loss}"


def _slices(found: Findings, explained: set[str]) -> list[FallCause]:
    """Return a cause for each slice whose relation changed and that is not made up of what is explained already."""
    causes, everywhere = [], {each.feature for each in found.moved}
    for each in found.slices:
        if each.columns & explained or not each.is_relation:
            continue
        moved = [shift.feature for shift in each.moved if shift.feature not in everywhere]
        within = f"; in it alone moved {_listed(moved)}" if moved else ""
        text = (
            f"the relation changed where {each.text}: {found.loss} {each.loss:.3g} on {each.rows:,} rows, before "
            f"{each.reference_loss:.3g}, elsewhere {each.rest:+.2g}; {_part(found, each.share)} comes with it{within}"
        )
        causes.append(
            FallCause(
                kind="slice",
                subject=each.text,
                share=min(max(each.share, 0.0), 1.0),
                text=text,
                features=tuple(moved),
                conditions=each.conditions,
            )
        )
    return causes


def _relation(found: Findings, named: Sequence[FallCause]) -> list[FallCause]:
    """Return the relation as a cause where it surely changed, and slices and known causes leave a part of that."""
    parts = found.decomposition
    if not parts.is_judged or parts.relation is None or not parts.relation.is_fall or not parts.fall.is_fall:
        return []
    share = min(max(parts.relation.value / parts.fall.value, 0.0), 1.0) - sum(cause.share for cause in named)
    text = (
        f"the relation of inputs and outcome changed in general: at the same {parts.by} {parts.metric} is "
        f"{parts.relation.value:.3g} worse ({parts.relation.low:.3g} to {parts.relation.high:.3g}), and no slice "
        "stands out for all of it"
    )
    return [FallCause(kind="relation", subject="relation", share=max(share, 0.0), text=text)]


def _events_of(found: Findings, names: Sequence[str]) -> list[UpstreamEvent]:
    return [event for events, _ in reached(found.events, names, found.origins).values() for event in events]


def _columns(found: Findings, features: Sequence[MovedFeature]) -> tuple[SourceColumn, ...]:
    origins = [found.origins[each.feature] for each in features if each.feature in found.origins]
    return tuple(dict.fromkeys(column for origin in origins for column in origin.columns))


def _named(column: SourceColumn) -> str:
    return f"{column.source}.{column.column}" if column.column else column.source


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
