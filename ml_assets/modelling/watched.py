"""The rows that monitoring looks at: predictions beside features and labels, and the reference beside them."""

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.sources.drops.moments import drop_end
from ml_assets.training.tasks.columns import PREDICTION, PROBABILITY, SCORE

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry
    from ml_assets.training.records.inputs import ModelInputs

NO_VERSION = "none"
"""What stands for the version in reports on a drop of which no row was scored."""


def as_predicted(lake: Lake, registry: "Registry", model: ModelContext, drop: str) -> ModelContext:
    """Return the model with the features and the label of the version that made the predictions of a drop.

    Raises:
        ValueError: what the version predicts, or a feature of it, cannot be had any more.
    """
    stored = lake.scan(model.watched).filter(pl.col(model.spine.partition) == drop)
    versions = stored.group_by(VERSION).len().sort("len", VERSION).collect()[VERSION]
    inputs = None if versions.is_empty() else registry.inputs(model.spec.name, versions[-1])
    if inputs is None:
        return model
    own = model.trained_on(inputs)
    why = [] if model.watches_served else own.lacking(lake, [drop])
    if inputs.task != model.spec.task:
        why = [*why, f"it was trained for the task {inputs.task}, and {model.spec.task} is declared now"]
    why = [*why, *_label_gone(lake, own, inputs)]
    if why:
        raise ValueError(
            f"what version {versions[-1]} of {model.spec.name} has predicted of {drop} cannot be watched: "
            f"{'; '.join(why)}. Declare it again, or train and promote a version of what is declared now"
        )
    outcome = own.outcome if inputs.label.outcome else None
    return replace(own, spec=model.spec.model_copy(update={"label": inputs.label}), outcome=outcome)


def _label_gone(lake: Lake, model: ModelContext, inputs: "ModelInputs") -> list[str]:
    """Return why the label that a version was trained on cannot be had any more; empty if it can."""
    label = inputs.label
    if label.outcome is not None:
        declared = model.outcome is not None and model.outcome.name == label.outcome
        return [] if declared else [f"the outcome {label.outcome} is not its label any more"]
    there = lake.scan(model.spine.table).collect_schema()
    gone = [column for column in (label.column, label.known_at) if column not in there]
    return [f"{model.spine.table} has no {', '.join(gone)} for its label"] if gone else []


def scored_rows(lake: Lake, model: ModelContext, drop: str, known_in: str | None = None) -> pl.DataFrame:
    """Return a drop's predictions beside features and labels.

    A label is null that was not known when the drop, or the later drop ``known_in``, ended.
    """
    from ml_assets.training.tasks.columns import LOWER, UPPER

    spec, key = model.spec, model.spec.spine.row
    stored = lake.scan(model.watched).filter(pl.col(model.spine.partition) == drop)
    answer = [SCORE, PREDICTION, cs.starts_with(PROBABILITY), VERSION]
    if spec.intervals is not None:
        answer.append(cs.by_name(LOWER, UPPER, require_all=False))
    if model.watches_served:
        rows, predicted, key = *_served(lake, model, drop, stored, answer), spec.spine.key
    else:
        rows, predicted = model.rows(lake, [drop]), stored.select(*key, *answer).collect()
    known = pl.col(spec.label.known_at) <= drop_end(known_in or drop, model.spine.drops)
    rows = rows.with_columns(pl.when(known).then(pl.col(spec.label.column)))
    _refuse_twins(predicted, key, model, drop)
    return rows.join(predicted, on=key, how="inner", maintain_order="left")


def _refuse_twins(predicted: pl.DataFrame, key: list[str], model: ModelContext, drop: str) -> None:
    """Raise ValueError if two predictions share a key: their features and labels could be confused."""
    twins = predicted.filter(pl.struct(key).is_duplicated())
    if twins.height:
        first = ", ".join(f"{name} {value}" for name, value in zip(key, twins.select(key).row(0), strict=True))
        raise ValueError(
            f"{model.watched}: {twins.height} predictions of {drop} share their key with another, such as {first}: "
            f"name in `key` of spine {model.spine.name} all columns that tell its rows apart"
        )


def _served(
    lake: Lake, model: ModelContext, drop: str, stored: pl.LazyFrame, answer: list
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return spine rows of a drop, and what one version answered about them, with the features as served at that time.

    Of several versions that answered, the one that answered most often: the others were tried, or have gone.
    """
    own = [name for name in model.features if name not in model.spec.spine.key]
    columns = dict.fromkeys([*model.spec.spine.key, model.spine.time, *own])
    served = stored.select(*columns, *answer).collect()
    if served.is_empty():
        raise ValueError(f"{model.watched} holds nothing of {drop}: nothing was served that could be monitored")
    busiest = served.group_by(VERSION).len().sort("len", VERSION)[VERSION][-1]
    rows = model.labelled(lake, [drop], model.columns).collect()
    of_answer = {model.spine.time, *own} - {*model.spec.spine.key}
    return rows.drop(of_answer, strict=False), served.filter(pl.col(VERSION) == busiest)


def reference_rows(lake: Lake, model: ModelContext, version: str) -> pl.DataFrame:
    """Return the out-of-sample rows of the version that made the predictions."""
    reference = lake.scan(model.key("reference")).filter(pl.col(VERSION) == version).collect()
    if reference.is_empty():
        raise ValueError(f"{model.key('reference')} holds nothing of version {version}: evaluate that version again")
    return reference


def marked(frame: pl.DataFrame, model: ModelContext, drop: str, version: str) -> pl.DataFrame:
    """Add the drop and the version that made the predictions to the rows of a report."""
    return frame.with_columns(pl.lit(drop).alias(model.spine.partition), pl.lit(version).alias(VERSION))
