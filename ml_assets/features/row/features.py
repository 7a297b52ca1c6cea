"""All features of the row to predict, and which of them can be had where a column is missing."""

from collections.abc import Collection

import polars as pl

from ml_assets.features.derived import derived_features, derived_from
from ml_assets.features.expressions import columns_read, evaluate
from ml_assets.features.row.calendar import calendar_features
from ml_assets.features.spec import FeatureViewSpec


def row_features(view: FeatureViewSpec, spine: pl.DataFrame, of_table: pl.DataFrame, time: str) -> pl.DataFrame:
    """Compute the features that no table holds: request, calendar and derived, in this order.

    Args:
        spine: rows with `view.row_columns` and the time column.
        of_table: `view.table_features` of these rows; without columns where the view has no table.
        time: the spine's time column.

    Raises:
        FeatureError: an expression fails or reaches across rows, or a calendar's column is neither moment nor date.
    """
    own = _beside(evaluate(view.name, spine, view.request), calendar_features(view, spine, time))
    return _beside(own, derived_features(view.name, view.derived, _beside(of_table, own)))


def computable(view: FeatureViewSpec, columns: Collection[str], *, of_table: bool = True) -> FeatureViewSpec:
    """Return the view without the features of the row that cannot be computed.

    Args:
        columns: the spine's columns that there are.
        of_table: whether the features of the table can be had, which derived ones may read.
    """
    request = {name: text for name, text in view.request.items() if {*columns_read(view.name, [text])} <= {*columns}}
    calendar = {base: spec for base, spec in view.calendar.items() if spec.at is None or spec.at in columns}
    kept = view.model_copy(update={"request": request, "calendar": calendar})
    there = {*(view.table_features if of_table else ()), *request, *kept.calendar_features}
    read = derived_from(view.name, view.derived)
    return kept.model_copy(update={"derived": {n: text for n, text in view.derived.items() if {*read[n]} <= there}})


def of_calendar(view: FeatureViewSpec, moments: Collection[str]) -> list[str]:
    """Return the features that the time alone determines: those of the calendar of the prediction time or of what the
    row looks ahead to, and what is derived of these alone.

    Args:
        moments: the spine's columns with these; a calendar of any other, such as a due date, is of the row.
    """
    timed = {base for base, spec in view.calendar.items() if spec.at is None or spec.at in moments}
    own = {name for name, (base, _) in view.calendar_features.items() if base in timed}
    read = derived_from(view.name, view.derived)
    own |= {name for name, columns in read.items() if columns and {*columns} <= own}
    return [name for name in view.feature_names if name in own]


def only_of_row(view: FeatureViewSpec) -> FeatureViewSpec | None:
    """Return the features of the row alone, of a view whose table cannot be read; None where there are none."""
    kept = computable(view, view.row_columns, of_table=False)
    read = {name for names in derived_from(view.name, kept.derived).values() for name in names}
    idle = [name for name in view.hidden if name not in read]
    request = {name: text for name, text in kept.request.items() if name not in idle}
    fields = {name: getattr(kept, name) for name in ("name", "description", "calendar", "derived")}
    hidden = [name for name in view.hidden if name in read]
    return FeatureViewSpec(**fields, request=request, hidden=hidden) if request or kept.calendar else None


def _beside(*parts: pl.DataFrame) -> pl.DataFrame:
    there = [part for part in parts if part.width]
    return pl.concat(there, how="horizontal") if there else pl.DataFrame()
