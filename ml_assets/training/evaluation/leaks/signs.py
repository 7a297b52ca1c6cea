"""All signs of a leak that rows with features and outcomes show."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.training.evaluation.leaks.alone import (
    TRAIN_ROWS,
    Strength,
    better_in_train,
    strength_table,
    strengths,
    strong_alone,
    sure_groups,
)
from ml_assets.training.evaluation.leaks.bystanders import telling_bystanders, with_bystanders
from ml_assets.training.evaluation.leaks.finding import Finding
from ml_assets.training.evaluation.leaks.identifiers import identifiers
from ml_assets.training.evaluation.leaks.outcomes import Outcomes
from ml_assets.training.evaluation.leaks.own_outcomes import knowing_features
from ml_assets.training.evaluation.leaks.pairs import strong_pairs
from ml_assets.training.evaluation.leaks.twins import twin_rows
from ml_assets.training.sampling.seeded import sample_rows
from ml_assets.training.spec import EvaluationSpec
from ml_assets.training.tasks import BINARY


@dataclass(frozen=True)
class JudgedFeatures:
    """Features measured alone, and what their rows show.

    Attributes:
        measured: each feature alone.
        suspects: the same as a table, as ``suspicious_features`` returns it.
        findings: signs of leaks, gate after gate.
    """

    measured: list[Strength]
    suspects: pl.DataFrame
    findings: list[Finding]


def judge_features(
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    *,
    features: Sequence[str],
    label: str,
    time: str,
    evaluation: EvaluationSpec,
    seed: int,
    task: str = BINARY,
    bystanders: Sequence[str] = (),
    own: Sequence[str] | None = None,
    clocks: Sequence[str] = (),
    doubts: Callable[[Mapping[str, float]], Mapping[str, Sequence[str]]] = lambda strengths: {},  # noqa: ARG005
    between: pl.DataFrame | None = None,
) -> JudgedFeatures:
    """Look for every sign of a leak that the rows show.

    Args:
        train: labelled rows to learn from.
        holdout: later labelled rows.
        time: column of prediction times.
        bystanders: columns that are no features, such as keys.
        own: columns that say something of the row itself; by default all features.
        clocks: features that are declared to say when a row is, so that they may grow with time.
        doubts: given each feature's strength alone, returns what speaks against it, by feature.
        between: labelled rows between the two, where there are any.
    """
    spec, limit = evaluation.leaks, evaluation.leak_limit
    known = sample_rows(train, TRAIN_ROWS, seed)
    outcomes = Outcomes.of(known[label], holdout[label], task, seed)
    metric = outcomes.task.leak_metric
    measured = strengths(known, holdout, features, outcomes)
    doubted = doubts({one.name: one.unseen for one in measured})
    against = {name: [*doubted.get(name, []), *name_doubts(name, label)] for name in features}
    strong = {one.name for one in measured if one.unseen >= limit}
    weaker = [one for one in sorted(measured, key=lambda one: -one.unseen) if one.name not in strong]
    parts = [part.select(*features, label) for part in (train, between, holdout) if part is not None]
    findings = [
        *strong_alone(sorted(measured, key=lambda one: -one.unseen), against, limit, spec, metric),
        *sure_groups(weaker, outcomes, spec),
        *better_in_train(measured, outcomes, spec, metric),
        *strong_pairs(known, holdout, [one.name for one in weaker], outcomes, limit),
        *knowing_features(pl.concat(parts), features, label, outcomes, spec),
        *identifiers(train, [name for name in features if name not in clocks], time, spec, seed),
        *twin_rows(known, holdout, features if own is None else own, outcomes, limit, spec),
        *(_bystanders(known, holdout, features, time, bystanders, outcomes, limit) if outcomes.are_classes else []),
    ]
    return JudgedFeatures(measured, strength_table(measured, limit, metric), untrusted(findings, spec.trusted))


def untrusted(findings: Sequence[Finding], trusted: Sequence[str]) -> list[Finding]:
    """Leave out findings about what is trusted; of several features together if one of them is."""
    return [finding for finding in findings if not {*trusted} & {finding.about, *finding.about.split(", ")}]


def name_doubts(feature: str, label: str) -> list[str]:
    """Return a doubt if a feature bears the whole name of the label, among other words."""
    ours, theirs = (re.findall(r"[a-z0-9]+", name.lower()) for name in (feature, label))
    words = [word for word in theirs if word not in ("is", "has", "label", "target", "y")]
    return [f"its name holds that of the label, {label}"] if words and {*words} <= {*ours} else []


def _bystanders(
    known: pl.DataFrame,
    holdout: pl.DataFrame,
    features: Sequence[str],
    time: str,
    columns: Sequence[str],
    outcomes: Outcomes,
    limit: float,
) -> list[Finding]:
    columns = [name for name in columns if name not in features]
    (known, names), (holdout, _) = (with_bystanders(part, time=time, columns=columns) for part in (known, holdout))
    return list(telling_bystanders(strengths(known, holdout, names, outcomes), limit, outcomes.task.leak_metric))
