"""A replay from the command line: history out of the lake, results kept under the home."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ml_assets.code_version import code_fingerprint
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.specs import DeclaredModel
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.retraining.replay.lived import History, LivedPolicy, Period
from ml_assets.retraining.replay.run import replay, replay_steps
from ml_assets.retraining.replay.store import ReplayStore
from ml_assets.retraining.spec import policies
from ml_assets.sources.drops.moments import drop_end
from ml_assets.training.kinds.lean import import_for

MOST_WORKERS = 4
"""Trainings side by side: each needs a core, and memory for its rows."""


def run_replay(
    project: DeclaredProject,
    folder: Path,
    home: Home,
    model: DeclaredModel,
    first: str,
    last: str,
    names: Sequence[str],
    console: Console,
) -> list[LivedPolicy]:
    """Replay the drops ``first`` to ``last`` under each of the named policies.

    Args:
        project: what declares the model.
        folder: the project's, whose code decides which results are kept.

    Raises:
        ValueError: an unknown policy, no such drops, or no drop before the first to learn from.
    """
    known = policies(model.retraining)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown policies {', '.join(unknown)}: choose from {', '.join(known)}")
    import_for([model.kind])
    lake = Lake(home.lake)
    spine, views = project.spine_of(model), project.views_of(model)
    context = ModelContext.of(model, spine, views, "", outcomes=project.outcomes.values())
    drops = context.drops(lake)
    chosen = [drop for drop in drops if first <= drop <= last]
    if not chosen or chosen[0] == drops[0]:
        raise ValueError(
            f"no drops from {first} to {last} with history before: the lake holds {drops[0]} to {drops[-1]}"
        )
    cut = context.spine.drops
    periods = [Period(drop, drop_end(drops[drops.index(drop) - 1], cut), drop_end(drop, cut)) for drop in chosen]
    with _progress(console) as progress:
        task = progress.add_task("reading features", total=replay_steps(periods, names))
        history = History(
            rows=context.rows(lake, [drop for drop in drops if drop <= last]),
            partition=context.spine.partition,
            model=context.spec,
            features=context.features,
            monitoring=context.monitoring,
            sampled=context.spine.sampled,
        )
        store = ReplayStore(_folder(home, code_fingerprint(folder), model, lake, context))
        return replay(
            history, periods, {name: known[name] for name in names}, store,
            on_step=lambda step: progress.update(task, advance=1, description=step),
            workers=min(MOST_WORKERS, os.cpu_count() or 1),
            on_training=lambda step: progress.update(task, description=step),
        )  # fmt: skip


def _folder(home: Home, code: str, model: DeclaredModel, lake: Lake, context: ModelContext) -> Path:
    """Return the folder for the results of this state of code, declaration and data."""
    tables = [context.spine.table, context.label_table, *(view.key for view in context.views)]
    # How to decide is no part of it: trainings and measurements are the same under every policy.
    declared = model.model_dump_json(exclude={"retraining"})
    state = "\n".join([code, declared, *(f"{table} {lake.version(table)}" for table in tables)])
    return home.root / "replay" / model.name / hashlib.sha256(state.encode()).hexdigest()[:16]


def _progress(console: Console):
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=console)
