"""A challenger held against the champion, whatever has been declared otherwise since the champion was trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION

if TYPE_CHECKING:
    from ml_assets.training.fit import TrainedModel
    from ml_assets.training.metrics.bootstrap import Interval
    from ml_assets.training.promotion.comparison import Incomparable


@dataclass(frozen=True)
class Comparison:
    """The challenger's paired difference to the champion, or why there is none; and on which rows, if not on all."""

    over_champion: "Interval | Incomparable"
    compared_on: str = ""


def compare_versions(
    lake: Lake,
    model: ModelContext,
    reference: pl.DataFrame,
    threshold: float | None,
    champion: "TrainedModel",
    named: str,
) -> Comparison:
    """Compare on the challenger's holdout, which the champion scores by the features that it was trained on.

    Where these cannot be had any more, the scores that it has given before are taken: those of its own holdout and its
    predictions, on the rows that the challenger's holdout has too.

    Args:
        reference: the challenger's scored holdout.
        threshold: from which the challenger calls an outcome positive.
        named: the champion's version.
    """
    from ml_assets.training.promotion.comparison import Incomparable, compare_with_champion

    spec, inputs = model.spec, champion.inputs
    accepted = spec.promotion.accept_over == named
    apart = model.inputs.apart_from(inputs) if inputs is not None else []
    if champion.task != spec.task:
        apart = [f"the task was {champion.task} and is {spec.task}"]
    if apart:
        return Comparison(Incomparable(why="; ".join(apart), accepted=accepted))
    rows, why = _as_trained(lake, model, reference, champion)
    before = None
    if why:
        before, rows = _scored_before(lake, model, reference, champion, named)
        if rows.height < spec.split.min_rows:
            few = f"version {named} has scored only {rows.height} of the holdout's rows before"
            return Comparison(Incomparable(why=f"{'; '.join(why)}; {few}", accepted=accepted))
    difference = compare_with_champion(rows, champion, spec=spec, challenger_threshold=threshold, scored_before=before)
    return Comparison(difference, _describe_rows(rows, reference, why, named))


def _describe_rows(rows: pl.DataFrame, reference: pl.DataFrame, why: list[str], version: str) -> str:
    if rows.height == reference.height and not why:
        return ""
    on = f"on {rows.height:,} of {reference.height:,} rows"
    return f"{on}, by the scores that version {version} has given before: {'; '.join(why)}" if why else on


def _as_trained(
    lake: Lake, model: ModelContext, reference: pl.DataFrame, champion: "TrainedModel"
) -> tuple[pl.DataFrame, list[str]]:
    """Return the holdout with the champion's own features, or why they cannot be had."""
    own = model.trained_on(champion.inputs)
    if own.inputs.features == model.inputs.features or champion.inputs is None:
        return reference, champion.encoding.misfits(reference.schema)
    drops = reference[model.spine.partition].unique().sort().to_list()
    if why := own.lacking(lake, drops):
        return reference, why
    keys = model.spec.spine.row
    rows = own.rows(lake, drops).select(*dict.fromkeys([*keys, *champion.features]))
    if why := champion.encoding.misfits(rows.schema):
        return reference, why
    kept = reference.drop([name for name in champion.features if name not in keys], strict=False)
    # Rows that share a key with another are in neither side.
    own_rows = rows.unique(keys, keep="none")
    return kept.join(own_rows, on=keys, how="inner", nulls_equal=True, maintain_order="left"), []


def _scored_before(
    lake: Lake, model: ModelContext, reference: pl.DataFrame, champion: "TrainedModel", version: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the scores that a version gave to rows of the holdout before, in its own holdout or as the champion."""
    from ml_assets.training.tasks.columns import SCORE, probability_column

    keys = model.spec.spine.row
    stored = [lake.scan(model.key(table)) for table in ("reference", "predictions") if lake.exists(model.key(table))]
    answer = [SCORE] if champion.classes is None else [SCORE, *map(probability_column, champion.classes)]
    parts = [
        rows.filter(pl.col(VERSION) == version).select(*keys, *answer).unique(keys, keep="none").collect()
        for rows in stored
        if {*answer, *keys, VERSION} <= {*rows.collect_schema().names()}
    ]
    if not parts:
        return reference.clear(), reference.clear()
    known = pl.concat(parts).unique(keys, keep="first", maintain_order=True)
    rows = reference.join(known.select(keys), on=keys, how="semi", nulls_equal=True, maintain_order="left")
    return rows.select(keys).join(known, on=keys, how="left", nulls_equal=True, maintain_order="left"), rows
