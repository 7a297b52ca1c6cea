"""Views that read outcomes as known before the model, or the declared outcome, says that they are."""

from collections.abc import Iterator

import polars as pl

from ml_assets.declarations.specs import DeclaredOutcome, DeclaredView
from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.audit.timing import moment_in_utc
from ml_assets.features.expressions import columns_read
from ml_assets.leaks.tables import Tables
from ml_assets.modelling.context import ModelContext
from ml_assets.training.evaluation.leaks.finding import Finding


def early_outcomes(context: ModelContext, tables: Tables) -> Iterator[Finding]:
    """Name views over the label's table, or over the facts of a declared outcome, whose ``known_at`` is earlier."""
    label, outcome = context.spec.label, context.outcome
    for view in context.views:
        if view.known_at is None or view.table is None:
            continue
        if view.table == context.label_table and label.column in columns_read(view.name, view.table_expressions):
            yield from _early(view, tables.scan(view.table), label.known_at, f"the outcome {label.column!r}")
        elif outcome is not None and view.table == outcome.table and _read_alike(view, outcome):
            known_at = outcome.known_at or outcome.happened_at
            yield from _early(view, tables.scan(view.table), known_at, f"facts of the outcome {outcome.name!r}")


def _read_alike(view: DeclaredView, outcome: DeclaredOutcome) -> bool:
    """Return whether a view reads of the facts what the outcome reads of them, or both count them."""
    summarised = [declared.of for declared in outcome.summaries.values()]
    texts = [text for text in [*summarised, outcome.where] if text is not None and text != ALL_ROWS]
    counted = ALL_ROWS in summarised and any(declared.of == ALL_ROWS for declared in view.aggregates.values())
    return counted or bool({*columns_read(outcome.name, texts)} & {*columns_read(view.name, view.table_expressions)})


def _early(view: DeclaredView, table: pl.LazyFrame, known_at: str, what: str) -> Iterator[Finding]:
    if view.known_at is None or view.known_at == known_at:
        return
    schema = table.collect_schema()
    early = moment_in_utc(view.known_at, schema) < moment_in_utc(known_at, schema)
    rows, of = table.select(early.sum(), pl.len()).collect(engine="streaming").row(0)
    if rows:
        yield Finding(
            "label_early",
            view.name,
            rows / of,
            0.0,
            f"reads {what} as known at {view.known_at}, which in {rows:,} of {of:,} rows of {view.table} is before "
            f"{known_at}, when they are declared to be known",
            f"let known_at of the view be {known_at}",
            certain=True,
        )
