"""What a model says of its spine and its views, and whether a feature is the label."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

import polars as pl

from ml_assets.declarations.coherence.outcomes import label_type
from ml_assets.declarations.coherence.requirements import requirement_problems
from ml_assets.declarations.coherence.rules import message_of, missing_columns, wrong_type
from ml_assets.declarations.coherence.tables import Columns, DeclaredTables
from ml_assets.declarations.coherence.views import expressions
from ml_assets.declarations.requested import offline_views, requested_columns
from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSpine, DeclaredView
from ml_assets.durations import format_duration, parse_duration
from ml_assets.features.assemble import refuse_homonyms, refuse_twins
from ml_assets.features.expressions import columns_read
from ml_assets.serving.declared import request_kind
from ml_assets.sources.drops.grains import drop_start
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.metrics.metric import VALUE
from ml_assets.training.tasks import find_task, listed


def model_problems(tables: DeclaredTables, model: DeclaredModel) -> Iterator[str]:
    """Yield where a model contradicts its spine and its views, and features that would give away the label."""
    spine = tables.named(DeclaredSpine, model.spine)
    views = [tables.named(DeclaredView, name) for name in model.features]
    columns = tables.columns(spine.table)
    missing = partial(missing_columns, columns, f"{spine.table} of spine {spine.name}")
    yield from _label_problems(tables, model, spine, columns)
    yield from message_of("horizon", lambda: spine.with_horizon(model.horizon))
    yield from missing("slices", model.slices)
    yield from missing("baseline.series", model.baseline.series)
    features = {name for view in views for name in view.feature_names}
    for field, names in _row_columns(model):
        yield from missing(field, [name for name in names if name not in features])
    yield from _no_row_to_train_on(model, spine)
    if model.serving is not None and model.serving.monitored and spine.made is not None:
        yield (
            f"serving.monitored: the rows of spine {spine.name} are made at the moments of a calendar, and an answer "
            "is given at the moment of its request, from which no outcome is counted: leave it out, so that "
            "batch predictions are watched"
        )
    yield from requirement_problems(tables, model, spine, views)
    elsewhere = [view.name for view in views if view.spine != model.spine]
    if elsewhere:
        yield f"features: {elsewhere} are computed for another spine than {model.spine}"
    yield from message_of("features", lambda: refuse_twins(views))
    carried = [
        *spine.key,
        *spine.columns,
        *spine.ahead,
        *spine.weighed,
        *model.slices,
        *(c for view in views for c in view.spine_entity),
    ]
    for view in views:
        yield from message_of("features", lambda view=view: refuse_homonyms(view, carried))
        yield from _leaks(model, spine, view)
    yield from _unrequestable(spine, views, columns)
    yield from _outcome_problems(model, [name for view in views for name in view.computed_features], carried)


def _label_problems(
    tables: DeclaredTables, model: DeclaredModel, spine: DeclaredSpine, columns: Columns | None
) -> Iterator[str]:
    label, missing = model.label, partial(missing_columns, columns, f"{spine.table} of spine {spine.name}")
    if label.outcome is not None:
        outcome = tables.named(DeclaredOutcome, label.outcome)
        if outcome.spine != model.spine:
            yield f"label.outcome: {outcome.name} is of the spine {outcome.spine}, and the model's is {model.spine}"
        yield from gap_problems(model, spine, outcome)
        dtype, field = label_type(tables, outcome), "label.outcome"
    else:
        yield from missing("label.column", [label.column])
        yield from missing("label.known_at", [label.known_at])
        yield from wrong_type(columns, "label.known_at", label.known_at, (pl.Datetime,), "a moment (Datetime)")
        dtype, field = (columns or {}).get(label.column), "label.column"
    if dtype is not None:
        yield from message_of(field, lambda: find_task(model.task).check_label_type(label.column, dtype))


def gap_problems(model: DeclaredModel, spine: DeclaredSpine, outcome: DeclaredOutcome) -> Iterator[str]:
    """Yield where labels of one part of the split become known only in the next, as the declarations have it."""
    longest = outcome.known_after([model.horizon] if model.horizon else spine.horizons)
    if not outcome.early and parse_duration(model.split.gap) < longest:
        yield (
            f"split.gap: {model.split.gap} is shorter than {outcome.name} takes to be known, "
            f"{format_duration(longest)}: make it at least as long"
        )


def _outcome_problems(model: DeclaredModel, features: list[str], carried: list[str]) -> Iterator[str]:
    by, allowed = model.baseline.by, [*carried, *features]
    if by is not None and by not in allowed:
        yield f"baseline.by: there is no column {by!r}; there are {', '.join(dict.fromkeys(allowed))}"
    strange = [name for name in model.monitoring.exclude if name not in features]
    if strange:
        yield f"monitoring.exclude: {', '.join(strange)} is no feature; there are {', '.join(features)}"
    yield from message_of("monitoring.", lambda: model.monitoring.estimated(model.task))
    fitting = find_task(model.task).metrics
    for field in ("floors", "estimated_metrics"):
        if VALUE in (getattr(model.monitoring, field) or ()) and model.payoff is None:
            yield f"monitoring.{field}: {VALUE} needs payoffs: declare `payoff`"
    for field in ("floors", "ceilings"):
        unfit = [name for name in getattr(model.monitoring, field) if name not in fitting]
        if unfit:
            yield (
                f"monitoring.{field}: {', '.join(unfit)} does not fit the task {model.task}; choose from "
                f"{listed(fitting)}"
            )
    names = [*model.search.space, *model.training.parameters]
    yield from message_of("kind", lambda: find_kind(model.kind).check_parameters(names))
    if model.training.weighted:
        yield from message_of("kind", lambda: find_kind(model.kind).check_weights())
    unknown = [name for name in model.training.monotone if name not in features]
    if unknown:
        yield f"training.monotone: {', '.join(unknown)} is no feature; there are {', '.join(features)}"


def _row_columns(model: DeclaredModel) -> Iterator[tuple[str, list[str]]]:
    """Yield the fields that name columns of the row, with the columns."""
    if model.payoff is not None:
        yield "payoff", model.payoff.columns
    if model.training.weight is not None:
        yield "training.weight", [model.training.weight]
    yield "split.group", model.split.group
    yield "groups", model.groups


def _unrequestable(spine: DeclaredSpine, views: Sequence[DeclaredView], columns: Columns | None) -> Iterator[str]:
    """Yield a problem for each column that requests have to give and cannot hold, of a model that can be served."""
    if offline_views(views) or columns is None:
        return
    for name in requested_columns(spine, views):
        dtype = columns.get(name)
        if dtype is not None and request_kind(dtype) is None:
            advice = {pl.Decimal: "Float64, or Int64", pl.Datetime: 'Datetime("us", "UTC")'}
            yield (
                f"features: column {name!r} of {spine.table} is {dtype}, which no request for a prediction can hold: "
                f"the model could be trained and not be served; declare "
                f"{advice.get(dtype.base_type(), 'a number, text, date or moment')} in its contract"
            )


def _no_row_to_train_on(model: DeclaredModel, spine: DeclaredSpine) -> Iterator[str]:
    """Yield a problem if the declared drops are too few to train on; drops without an end become enough one day."""
    drops, split = spine.drops, model.split
    if drops.start is None or drops.end is None:
        return
    there = drop_start(drops.grain, drops.end) - drop_start(drops.grain, drops.start)
    taken = sum((parse_duration(part) for part in (split.validation, split.holdout, split.gap)), timedelta(0))
    if taken >= there:
        yield (
            f"split: validation, holdout and gap take {taken.days} days of the {there.days} that the drops of spine "
            f"{spine.name} span: no row is left to train on"
        )


def _label_tables(model: DeclaredModel, spine: DeclaredSpine) -> list[str]:
    return [spine.table] if model.label.outcome is None else [f"outcomes/{model.label.outcome}"]


def _leaks(model: DeclaredModel, spine: DeclaredSpine, view: DeclaredView) -> Iterator[str]:
    """Yield a problem for each feature that reads the outcome before it is known."""
    outcome = {model.label.column, model.label.known_at}
    if model.label.column in view.computed_features:
        yield f"label.column: {model.label.column!r} is also a feature, of view {view.name}: rename or remove it"
        return
    # A row of the table that holds the label, which counts as known at its prediction time, or always.
    own = view.table in _label_tables(model, spine) and view.known_at in (spine.time, None)
    for field, text in expressions(view):
        if field.startswith(("request.", "calendar.")) or own:
            for name in sorted(outcome & set(columns_read(view.name, [text]))):
                yield (
                    f"label.column: feature view {view.name} reads {name!r} in {field}, at a time when the outcome is "
                    "not known: leave it out, or let known_at be when the outcome was known"
                )
