"""The rows that monitoring looks at: predictions beside features and labels, and the reference beside them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.sources.drops.moments import drop_end
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks.columns import PREDICTION, PROBABILITY, SCORE

if TYPE_CHECKING:
    from ml_assets.declarations.specs import DeclaredOutcome
    from ml_assets.registry.registry import Registry
    from ml_assets.training.records.inputs import ModelInputs

NO_VERSION = "none"
"""What stands for the version in reports on a drop of which no row was scored."""


def as_predicted(lake: Lake, registry: "Registry", model: ModelContext, drop: str) -> ModelContext:
    """Return the model with the features and the label of the version that made the predictions of a drop.

    Raises:
        ValueError: what the version predicts, or a feature of it, cannot be had any more.
    """
    version, own, why = predicting_model(lake, registry, model, drop)
    if why:
        raise ValueError(
            f"what version {version} of {model.spec.name} has predicted of {drop} cannot be watched: "
            f"{'; '.join(why)}. Declare it again, or train and promote a version of what is declared now"
        )
    return own


def predicting_model(
    lake: Lake, registry: "Registry", model: ModelContext, drop: str
) -> tuple[str, ModelContext, list[str]]:
    """Return the version that made the predictions of a drop, the model with its features and label, and why these
    cannot be had any more."""
    version = predicting_versions(lake, model, [drop])[drop]
    own, why = model_of_version(lake, registry, model, version)
    lacking = [] if own is model or model.watches_served else own.lacking(lake, [drop])
    return version, own, [*lacking, *why]


def predicting_versions(lake: Lake, model: ModelContext, drops: Sequence[str]) -> dict[str, str]:
    """Return the version that made most predictions of each drop; ``NO_VERSION`` where there are none."""
    by = model.spine.partition
    stored = lake.scan(model.watched).filter(pl.col(by).is_in(list(drops)))
    counts = stored.group_by(by, VERSION).len().sort("len", VERSION).collect()
    return dict.fromkeys(drops, NO_VERSION) | dict(counts.select(by, VERSION).iter_rows())


def model_of_version(
    lake: Lake, registry: "Registry", model: ModelContext, version: str
) -> tuple[ModelContext, list[str]]:
    """Return the model with the features and the label of a version, and why its label cannot be had any more."""
    inputs = None if version == NO_VERSION else registry.inputs(model.spec.name, version)
    if inputs is None:
        return model, []
    own = model.trained_on(inputs)
    why = _label_gone(lake, own, inputs)
    if inputs.task != model.spec.task:
        why = [f"it was trained for the task {inputs.task}, and {model.spec.task} is declared now", *why]
    outcome = own.outcome if inputs.label.outcome else None
    return replace(own, spec=own.spec.model_copy(update={"label": inputs.label}), outcome=outcome), why


def _label_gone(lake: Lake, model: ModelContext, inputs: "ModelInputs") -> list[str]:
    """Return why the label that a version was trained on cannot be had any more; empty if it can."""
    label = inputs.label
    if label.outcome is not None:
        return _outcome_gone(model.outcome, inputs)
    there = lake.scan(model.spine.table).collect_schema()
    gone = [column for column in (label.column, label.known_at) if column not in there]
    return [f"{model.spine.table} has no {', '.join(gone)} for its label"] if gone else []


def _outcome_gone(declared: "DeclaredOutcome | None", inputs: "ModelInputs") -> list[str]:
    """Return why an outcome is not the one that a version was trained on; what is stored is as it is declared now."""
    name, trained = inputs.label.outcome, inputs.outcome
    if declared is None or declared.name != name:
        return [f"the outcome {name} is not its label any more"]
    if trained is None or trained.meaning == declared.meaning:
        return []
    now = declared.plain
    meant = [field for field in OutcomeSpec.model_fields if field not in ("description", "owners")]
    fields = [field for field in meant if getattr(trained, field) != getattr(now, field)]
    changes = [f"{field} was {getattr(trained, field)} and is {getattr(now, field)}" for field in fields]
    return [f"the outcome {name} is declared otherwise than it was trained on: {'; '.join(changes)}"]


def scored_rows(lake: Lake, model: ModelContext, drop: str, known_in: str | None = None) -> pl.DataFrame:
    """Return a drop's predictions beside features and labels.

    A label is null that was not known when the drop, or the later drop ``known_in``, ended.
    """
    spec, key = model.spec, model.spec.spine.row
    stored = lake.scan(model.watched).filter(pl.col(model.spine.partition) == drop)
    if model.watches_served:
        rows, predicted, key = *_served(lake, model, drop, stored, _answer(model)), spec.spine.key
    else:
        rows, predicted = model.rows(lake, [drop]), stored.select(*key, *_answer(model)).collect()
    rows = known_by(rows, model, drop_end(known_in or drop, model.spine.drops))
    _refuse_twins(predicted, key, model, drop)
    return rows.join(predicted, on=key, how="inner", nulls_equal=True, maintain_order="left")


def labelled_rows(lake: Lake, model: ModelContext, drops: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return the predictions of some drops beside every label that there is and the moment it was known at, without
    features; each drop's apart."""
    by, served = model.spine.partition, model.watches_served
    key = list(model.spine.key) if served else model.spine.row
    stored = lake.scan(model.watched).filter(pl.col(by).is_in(list(drops)))
    answers = stored.select(*dict.fromkeys([by, *key]), *_answer(model)).collect().partition_by(by, as_dict=True)
    rows = _without_features(lake, model, list(drops))
    labelled = {}
    for (drop,), of_drop in rows.partition_by(by, as_dict=True).items():
        if (drop,) in answers:
            predicted = answers[drop,].drop(by)
            predicted = _of_busiest(predicted) if served else predicted
            _refuse_twins(predicted, key, model, str(drop))
            labelled[str(drop)] = of_drop.join(predicted, on=key, how="inner", nulls_equal=True, maintain_order="left")
    return labelled


def _without_features(lake: Lake, model: ModelContext, drops: list[str]) -> pl.DataFrame:
    """Return the spine's rows of some drops; with features only where what is measured reads one."""
    if set(model.spec.row_columns) & set(model.features):
        return model.rows(lake, drops)
    bare = replace(model, views=())
    return bare.spine_rows(lake, drops).select(*dict.fromkeys([model.spine.partition, model.spine.time, *bare.columns]))


def known_by(rows: pl.DataFrame, model: ModelContext, moment: datetime) -> pl.DataFrame:
    """Return rows with the labels alone that were known at a moment."""
    label = model.spec.label
    return rows.with_columns(pl.when(pl.col(label.known_at) <= moment).then(pl.col(label.column)))


def _answer(model: ModelContext) -> list:
    """Return the columns of an answer, and of its interval where the model has one."""
    from ml_assets.training.tasks.columns import LOWER, UPPER

    ends = [] if model.spec.intervals is None else [cs.by_name(LOWER, UPPER, require_all=False)]
    return [SCORE, PREDICTION, cs.starts_with(PROBABILITY), VERSION, *ends]


def _of_busiest(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the answers of the version that answered most often."""
    busiest = answers.group_by(VERSION).len().sort("len", VERSION)[VERSION][-1]
    return answers.filter(pl.col(VERSION) == busiest)


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
    rows = model.labelled(lake, [drop], model.columns).collect()
    of_answer = {model.spine.time, *own} - {*model.spec.spine.key}
    return rows.drop(of_answer, strict=False), _of_busiest(served)


def reference_rows(lake: Lake, model: ModelContext, version: str) -> pl.DataFrame:
    """Return the out-of-sample rows of the version that made the predictions."""
    reference = lake.scan(model.key("reference")).filter(pl.col(VERSION) == version).collect()
    if reference.is_empty():
        raise ValueError(f"{model.key('reference')} holds nothing of version {version}: evaluate that version again")
    return reference


def metric_of_reference(spec: ModelSpec, reference: pl.DataFrame) -> tuple[str, str]:
    """Return the metric that a version's reference can set limits for, and why it is not the watched one, if so.

    A version that was evaluated before payoffs were declared has none in its reference, or nulls: it is judged by the
    metric of the search, or of its early stopping.
    """
    metric, payoff = spec.watched_metric, spec.payoff_for(spec.watched_metric)
    if payoff is None:
        return metric, ""
    known = reference.drop_nulls(spec.label.column)
    there = [name for name in payoff.columns if name in known.columns]
    if there == payoff.columns and payoff.given_of(known).all():
        return metric, ""
    return spec.stopping_metric, (
        f"{spec.stopping_metric} decides instead of {metric}, as the version's reference is from before its payoffs "
        f"were there ({', '.join(payoff.columns)}): the next version's has them"
    )


def marked(frame: pl.DataFrame, model: ModelContext, drop: str, version: str) -> pl.DataFrame:
    """Add the drop and the version that made the predictions to the rows of a report."""
    return frame.with_columns(pl.lit(drop).alias(model.spine.partition), pl.lit(version).alias(VERSION))
