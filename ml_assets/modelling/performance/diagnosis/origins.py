"""Where a model's features come from: the table that their view reads, and columns of declared sources."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml_assets.declarations.private import Lineage, no_lineage
from ml_assets.declarations.specs import DeclaredSource, DeclaredView
from ml_assets.diagnosis.causes.upstream import Origin, SourceColumn
from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.derived import derived_from
from ml_assets.features.expressions import columns_read
from ml_assets.modelling.context import ModelContext


@dataclass(frozen=True)
class Upstream:
    """What feeds a model.

    Attributes:
        sources: declared sources, of which some may be about other models.
        lineage: what the columns of other tables are made of.
    """

    sources: Sequence[DeclaredSource] = ()
    lineage: Lineage = no_lineage

    def trace(self, table: str, columns: Iterable[str]) -> tuple[SourceColumn, ...]:
        """Return the columns of sources that some columns of a table are made of; of a table of which nothing is
        recorded, its own."""
        validated = {source.table("validated"): source.name for source in self.sources}
        found: dict[SourceColumn, None] = {}
        seen, waiting = set(), [(table, column) for column in columns]
        while waiting:
            at = waiting.pop(0)
            if at in seen:
                continue
            seen.add(at)
            key, column = at
            parents = () if key in validated else self.lineage(key).get(column, ())
            waiting += [(parent, name) for parent, name in parents]
            if not parents:
                found[SourceColumn(source=validated.get(key, key), column=column)] = None
        return tuple(found)


def origins_of(model: ModelContext, upstream: Upstream) -> dict[str, Origin]:
    """Return where each feature of a model comes from; of the calendar of the time alone nothing is upstream."""
    return {
        name: Origin(table, upstream.trace(table, columns) if table else ())
        for view in model.views
        for name, (table, columns) in _read(view, model.spine.table).items()
        if name in view.feature_names
    }


def _read(view: DeclaredView, spine: str) -> dict[str, tuple[str | None, list[str]]]:
    """Return, by feature, the table and the columns of it that the feature reads."""

    def of(table: str | None, texts: Iterable[str]) -> tuple[str | None, list[str]]:
        return table, columns_read(view.name, [text for text in texts if text != ALL_ROWS]) or [view.known_at or ""]

    read = {name: of(view.table, [text]) for name, text in {**view.latest, **view.lookups}.items()}
    read |= {name: of(view.table, [lag.of]) for name, lag in view.lags.items()}
    read |= {name: of(view.table, [view.aggregates[base].of]) for name, (base, _, _) in view.aggregate_features.items()}
    if view.planned is not None:
        read |= {name: of(view.table, view.planned.expressions) for name in view.planned.features}
    read |= {name: (spine, columns_read(view.name, [text])) for name, text in view.request.items()}
    read |= dict.fromkeys(view.calendar_features, (None, []))
    for name, others in derived_from(view.name, view.derived).items():
        parts = [read[other] for other in others if other in read]
        table = next((table for table, _ in parts if table), None)
        read[name] = table, list(dict.fromkeys(column for own, columns in parts if own == table for column in columns))
    return read
