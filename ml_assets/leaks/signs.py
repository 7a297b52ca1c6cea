"""All signs of a leak of a model: of its declaration, its tables and its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.leaks.early_outcomes import early_outcomes
from ml_assets.leaks.spine_signs import spine_findings
from ml_assets.leaks.tables import Tables
from ml_assets.leaks.view_signs import lag_doubts, view_signs
from ml_assets.modelling.context import ModelContext
from ml_assets.training.evaluation.leaks.finding import Finding
from ml_assets.training.evaluation.leaks.signs import judge_features, untrusted
from ml_assets.training.splits import Split


@dataclass(frozen=True)
class ModelSigns:
    """What was seen of a model.

    Attributes:
        suspects: every feature alone, as ``suspicious_features`` returns it.
        findings: what is certain first.
        unchecked: what could not be looked at, in words.
    """

    suspects: pl.DataFrame
    findings: list[Finding]
    unchecked: list[str]


def find_signs(
    context: ModelContext, tables: Tables, spine: pl.LazyFrame, rows: pl.DataFrame, split: Split
) -> ModelSigns:
    """Look for signs of a leak by every gate.

    Args:
        spine: the spine's rows with their labels, where they are known.
        rows: some labelled rows of it, with what the views read of it.
        split: these rows with their features, divided by time.
    """
    spec, evaluation = context.spec, context.spec.evaluation
    signs = view_signs(context, tables, rows, evaluation.leaks)
    parts = {"train": split.train, "holdout": split.holdout}

    def doubts(strength: Mapping[str, float]) -> Mapping[str, Sequence[str]]:
        # Recency makes honest features strong too: it says more only where there is a doubt already.
        strong = {name: value for name, value in strength.items() if value >= evaluation.leaks.doubtful}
        strong = {name: value for name, value in strong.items() if name in signs.doubts}
        lagging = lag_doubts(context, tables, parts, strong, spec.split.gap)
        return {name: [*signs.doubts.get(name, []), *lagging.get(name, [])] for name in strength}

    judged = judge_features(
        split.train,
        split.holdout,
        features=context.features,
        label=spec.label.column,
        time=spec.spine.time,
        evaluation=evaluation,
        seed=spec.seed,
        task=spec.task,
        bystanders=context.bystanders,
        own=context.own_columns,
        clocks=context.clocks,
        doubts=doubts,
        between=pl.concat([split.validation, split.calibration]),
    )
    seen = [*spine_findings(context, spine, evaluation.leaks), *early_outcomes(context, tables), *signs.findings]
    tabled = untrusted(seen, evaluation.leaks.trusted)
    findings = sorted([*tabled, *judged.findings], key=lambda finding: not finding.certain)
    return ModelSigns(judged.suspects, findings, signs.unchecked)
