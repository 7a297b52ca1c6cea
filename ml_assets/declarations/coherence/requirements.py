"""Whether what a model requires of looked-up features can be, and whether what it falls back to can answer for it."""

from collections.abc import Iterator, Sequence

from ml_assets.declarations.coherence.tables import DeclaredTables
from ml_assets.declarations.requested import requested_columns
from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine, DeclaredView
from ml_assets.scoring_core.answers import BINARY, MULTICLASS
from ml_assets.serving.spec import FallbackSpec
from ml_assets.training.tasks import find_task

_FALLBACK = "serving.require.fallback"


def requirement_problems(
    tables: DeclaredTables, model: DeclaredModel, spine: DeclaredSpine, views: Sequence[DeclaredView]
) -> Iterator[str]:
    """Yield where `serving.require` of a model contradicts its views, its task or other models."""
    require = None if model.serving is None else model.serving.require
    if require is None:
        return
    looked_up = [view.name for view in views if view.table is not None]
    if not looked_up:
        yield "serving.require: the model looks no features up, all come with the request: leave it out"
    elif unknown := [name for name in require.views if name not in looked_up]:
        yield f"serving.require.views: {unknown} are none that the model looks up: {looked_up}"
    if require.fallback is not None and require.fallback.constant is not None:
        yield from _constant_problems(model, require.fallback.constant)
    elif require.fallback is not None:
        yield from _model_problems(tables, model, requested_columns(spine, views), require.fallback)


def _constant_problems(model: DeclaredModel, constant: float) -> Iterator[str]:
    form = find_task(model.task).learned_as
    if form == MULTICLASS:
        yield f"{_FALLBACK}.constant: one number is no probability of each class: name a model"
    elif form == BINARY and not 0 <= constant <= 1:
        yield f"{_FALLBACK}.constant: {constant} is no probability: it must be 0 to 1"


def _model_problems(
    tables: DeclaredTables, model: DeclaredModel, given: Sequence[str], fallback: FallbackSpec
) -> Iterator[str]:
    others = {each.name: each for each in tables.all(DeclaredModel) if each.name != model.name}
    other = others.get(fallback.model)
    if other is None:
        yield f"{_FALLBACK}.model: {fallback.model!r} is no other model; there are {sorted(others)}"
        return
    if other.task != model.task:
        yield f"{_FALLBACK}.model: the task of {other.name} is {other.task} and not {model.task}"
    views = [tables.named(DeclaredView, name) for name in other.features]
    wanted = requested_columns(tables.named(DeclaredSpine, other.spine), views)
    if lacking := [name for name in wanted if name not in given]:
        yield f"{_FALLBACK}.model: {other.name} reads {lacking}, which requests about {model.name} do not give"
