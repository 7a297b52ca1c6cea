"""Why a model did worse on a drop: the record, printed for people or programs."""

from typing import TYPE_CHECKING

from ml_assets.modelling.performance.diagnosis.drop import NothingToDiagnose, diagnose_drop
from ml_assets.modelling.performance.diagnosis.kept import DropDiagnosis
from ml_assets.modelling.performance.diagnosis.origins import Upstream

if TYPE_CHECKING:
    from ml_assets.diagnosis.causes.record import Diagnosis
    from ml_assets.diagnosis.shift.decomposition import FallPart
    from ml_assets.lake import Lake
    from ml_assets.modelling.context import ModelContext
    from ml_assets.registry.registry import Registry

_SHOWN = 5


def find_why(
    lake: "Lake", registry: "Registry", model: "ModelContext", drop: str | None, upstream: Upstream
) -> DropDiagnosis:
    """Diagnose a drop with all labels that are known by now; by default the last one with scored rows.

    Raises:
        NothingToDiagnose: no drop has.
        ValueError: nothing of the drop was predicted.
    """
    if not lake.exists(model.watched):
        raise NothingToDiagnose(f"{model.spec.name} has predicted nothing yet: `ml-assets run` lives through its drops")
    scored, newest = lake.partitions(model.watched, model.spine.partition), model.drops(lake)[-1]
    if drop is not None:
        if drop not in scored:
            raise ValueError(f"--drop {drop}: {model.spec.name} predicted nothing of it; there are {', '.join(scored)}")
        return diagnose_drop(lake, registry, model, drop, upstream=upstream, labels_until=newest)
    last = None
    for each in reversed(scored):
        try:
            return diagnose_drop(lake, registry, model, each, upstream=upstream, labels_until=newest)
        except NothingToDiagnose as nothing:
            last = last or nothing
    raise last or NothingToDiagnose(f"{model.spec.name} has predicted no row yet")


def print_why(record: DropDiagnosis, as_json: bool) -> None:
    """Print the causes with their evidence, or the record as one JSON object."""
    from rich.console import Console

    if as_json:
        print(record.model_dump_json(indent=2))  # noqa: T201 - data for a program, not to be wrapped or coloured
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in lines_of(record):
        console.print(line)


def lines_of(record: DropDiagnosis) -> list[str]:
    """Return the record in words, a line each."""
    found = record.diagnosis
    parts, expected = found.decomposition, "" if found.basis == "realised" else "expected "
    lines = [
        f"{record.model}, {record.drop}, version {record.version}, labels known by the end of {record.labels_until}",
        f"  {parts.metric} {expected}{parts.current:.3f} on {parts.rows:,} rows, {parts.reference:.3f} on the "
        f"reference's {parts.reference_rows:,}; {found.loss} {found.loss_change.value:+.4f}",
        f"  of the fall of {_interval(parts.fall)}: changed inputs {_interval(parts.inputs)}, changed relation "
        f"{_interval(parts.relation)}, by {parts.by} ({parts.overlap:.0%} in common)",
    ]
    if not found.causes:
        lines.append(f"  {found.headline}")
    lines += [f"  {place}. {cause.text}" for place, cause in enumerate(found.causes[:_SHOWN], 1)]
    return [*lines, *_beside(found)]


def _interval(part: "FallPart | None") -> str:
    return "unknown" if part is None else f"{part.value:+.3f} ({part.low:+.3f} to {part.high:+.3f})"


def _beside(found: "Diagnosis") -> list[str]:
    tried = sum(found.slices_tried.values())
    lines = [
        f"  slice {each.text}: {each.rows:,} rows, {each.reference_loss:.3g} -> {each.loss:.3g} (p {each.p_value:.1g}, "
        f"{len(each.repeats)} others repeat it)"
        for each in found.slices
    ]
    if tried:
        lines.append(f"  {tried:,} slices were looked at, {len(found.slices)} lost more than chance explains")
    if found.harmless:
        more = f" and {len(found.harmless) - _SHOWN} more" if len(found.harmless) > _SHOWN else ""
        lines.append(f"  moved without harm: {', '.join(found.harmless[:_SHOWN])}{more}")
    lines += [f"  coincided, and is no cause: {event.source}: {event.text}" for event in found.coincided]
    return [*lines, *(f"  {note}" for note in found.notes)]
