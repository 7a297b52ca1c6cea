"""Which model needs attention: a line per model, from the lake, the registry and Dagster's records."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.addresses import without_secrets
from ml_assets.automation.run_records import FINISHED, SUCCEEDED, RunRecords
from ml_assets.automation.run_tags import DECISION
from ml_assets.commands.lifecycle.summary import realised_by_horizon, summarise
from ml_assets.commands.lifecycle.view_states import ViewStatus, view_lines, view_statuses
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.registry.decisions import Decisions
from ml_assets.registry.records import RegisteredVersion
from ml_assets.registry.registry import Registry
from ml_assets.registry.store.server import RegistryAway
from ml_assets.retraining.decide import DecisionRecord, read_decisions
from ml_assets.sources.drops.grains import drop_end
from ml_assets.streams.state import StreamState
from ml_assets.training.promotion.records import PromotionRecord

DAY_S = 86_400


class ModelStatus(BaseModel):
    """One model this morning. What is not known yet is null."""

    model_config = ConfigDict(frozen=True)

    model: str
    champion: str | None = Field(description="Version that serves.")
    registry_away: str | None = Field(description="Why the champion is not known; null if it is, or there is none.")
    champion_age_days: float | None = Field(description="From its training cut-off to the end of the last scored drop.")
    last_drop: str | None = Field(description="The last drop that was scored.")
    strongest_drift: str | None = Field(description="Feature with the largest PSI in it.")
    psi: float | None
    metric: str
    estimated: float | None = Field(description="Metric estimated before labels are known.")
    realised: float | None = Field(description="Metric by the labels known when the drop was measured last.")
    horizons: dict[str, float | None] = Field(
        default_factory=dict, description="The same by how far rows look ahead, such as 7d, where horizons are several."
    )
    missing_labels: int | None = Field(description="Scored rows whose label was not known then.")
    limit: float | None = Field(description="What the decision held both against.")
    not_watched: str | None = Field(description="Why nothing about the last drop alerts or counts; null if it does.")
    decision: str | None = Field(description="retrain or wait.")
    reason: str | None
    waits_for_approval: str | None = Field(
        default=None, description="Version that waits for a person's approval; null if none does."
    )
    freshness: str = Field(description="fresh, warn, stale, or none: the champion's last materialization.")
    next_step: str
    views: list[ViewStatus] = Field(
        default_factory=list, description="How the online views stand that the champion looks up."
    )
    views_away: str | None = Field(default=None, description="Why that is not known; null if it is, or there are none.")


def project_status(
    declared: DeclaredProject, lake: Lake, registry: Registry, records: RunRecords, now: datetime
) -> tuple[list[ModelStatus], list[str]]:
    """Return the status of each model of a project, and the problems that keep the status of others from being
    known."""
    statuses, wrong = [], [fault.message for fault in declared.faults]
    for model in declared.models.values():
        try:
            statuses.append(model_status(model, declared.spine_of(model), lake, registry, records, now))
        except (ValueError, LookupError) as error:
            if isinstance(error, KeyError | IndexError):
                raise
            wrong.append(str(error))
    return statuses, list(dict.fromkeys(wrong))


def model_status(
    model: DeclaredModel, spine: DeclaredSpine, lake: Lake, registry: Registry, records: RunRecords, now: datetime
) -> ModelStatus:
    """Return the status of one model at ``now``, the moment that freshness is measured to."""
    champion, away = _champion(lake, registry, model.name)
    if champion is None and away is None and lake.exists(f"{model.name}/predictions"):
        where = without_secrets(registry.tracking_uri)
        raise LookupError(
            f"{model.name} was scored before, and the registry {where} knows no champion of it: put a copy of it back, "
            "or see ML_ASSETS_MLFLOW"
        )
    summary = summarise(lake, model.name, spine.partition, model.watched_metric, [], model.monitoring.min_chunk_rows)
    last = summary.drops.row(-1, named=True) if summary.drops.height else {}
    sizes = summary.chunk_sizes(last) if last else None
    decisions = read_decisions(lake, model.name)
    decision = decisions[-1] if decisions else None
    age = None
    if champion is not None and last:
        cut_off = datetime.fromisoformat(champion.tags["as_of"])
        age = (drop_end(spine.drops.grain, last["drop"]).replace(tzinfo=UTC) - cut_off).total_seconds() / DAY_S
    waiting = Decisions(lake, registry, model.name).waiting()
    of_drop = model.name, spine.partition, last.get("drop", ""), model.watched_metric
    limit = next((e.threshold for e in decision.evidence if e.kind == "realised"), None) if decision else None
    return ModelStatus(
        model=model.name,
        champion=champion and champion.version,
        registry_away=away,
        champion_age_days=age,
        last_drop=last.get("drop"),
        strongest_drift=last.get("strongest_drift"),
        psi=last.get("psi"),
        metric=model.watched_metric,
        estimated=last.get("estimated"),
        realised=last.get("realised"),
        horizons=realised_by_horizon(lake, *of_drop),
        missing_labels=last.get("missing_labels"),
        limit=limit,
        not_watched=sizes.sentence if sizes and sizes.unwatched else None,
        decision=decision and ("retrain" if decision.retrain else "wait"),
        reason=decision and decision.reason,
        freshness=_freshness(model, records, now),
        waits_for_approval=waiting and waiting.challenger,
        next_step=away or next_step(champion is not None, waiting, decision, records),
    )


def with_views(
    statuses: Sequence[ModelStatus], declared: DeclaredProject, online_store: str, now: datetime
) -> list[ModelStatus]:
    """Return statuses with how the online views stand of the models that may be served, as the store has them.

    Args:
        online_store: URL of the store.
    """
    online = {
        status.model: [view for view in declared.views_of(declared.models[status.model]) if view.online is not None]
        for status in statuses
        if status.champion or status.registry_away
    }
    known, away = view_statuses([view for views in online.values() for view in views], online_store, now)
    return [
        status.model_copy(
            update={
                "views": [known[view.name] for view in online.get(status.model, ()) if view.name in known],
                "views_away": away if online.get(status.model) else None,
            }
        )
        for status in statuses
    ]


def _champion(lake: Lake, registry: Registry, model: str) -> tuple[RegisteredVersion | None, str | None]:
    """Return the version that serves, and why it is unknown, if it is."""
    try:
        Decisions(lake, registry, model).settle()
        return registry.champion(model), None
    except RegistryAway as away:
        return None, str(away)


def _freshness(model: DeclaredModel, records: RunRecords, now: datetime) -> str:
    last = records.last_materialized([model.name, "champion"])
    if last is None:
        return "none"
    age = now - last
    if age >= model.freshness.fail_after:
        return "stale"
    return "warn" if age >= model.freshness.warn_after else "fresh"


def next_step(
    served: bool, waiting: PromotionRecord | None, decision: DecisionRecord | None, records: RunRecords
) -> str:
    """Return what happens next with a model, or who has to do what.

    Args:
        served: whether it has a champion.
        waiting: the decision that waits for a person, if one does.
        decision: the last decision to train again or wait.
    """
    if waiting is not None:
        answer = f"`ml-assets approve {waiting.model} {waiting.challenger} --by NAME` or `refuse`"
        return f"version {waiting.challenger} waits for approval: {answer}"
    if not served:
        return "train a first champion"
    if decision is None or not decision.retrain:
        return "wait for the next drop"
    runs = records.run_statuses(DECISION, decision.id)
    if SUCCEEDED in runs:
        return "retrained; wait for the next drop"
    if any(status not in FINISHED for status in runs):
        return "retraining now"
    return (
        f"retraining failed {len(runs)} times"
        if runs
        else "retrain, by the sensor of `ml-assets ui` or `ml-assets run`"
    )


def print_status(statuses: Sequence[ModelStatus], as_json: bool) -> None:
    """Print a few lines per model, or one JSON list."""
    from rich.console import Console

    if as_json:
        print(json.dumps([status.model_dump() for status in statuses], indent=2))  # noqa: T201 - data for a program
        return
    console = Console(highlight=False)
    if not statuses:
        console.print("no model is declared")
    for status in statuses:
        unknown = "champion unknown" if status.registry_away else "no champion"
        version = f"version {status.champion}" if status.champion else unknown
        age = "" if status.champion_age_days is None else f", cut-off {status.champion_age_days:.0f} days old"
        freshness = "" if status.freshness == "none" else f", {status.freshness}"
        console.print(f"[bold]{status.model}[/]  {version}{age}{freshness}")
        if status.last_drop:
            limit = "" if status.limit is None else f" (limit {status.limit:.3f})"
            console.print(
                f"  {status.last_drop}: {status.metric} estimated {_shown(status.estimated)}, "
                f"realised {_shown(status.realised)}{_without(status.missing_labels)}{limit}; "
                f"strongest drift {status.strongest_drift} {_shown(status.psi)}"
            )
        if status.horizons:
            ahead = ", ".join(f"{length} {_shown(value)}" for length, value in status.horizons.items())
            console.print(f"  {status.metric} realised by horizon: {ahead}")
        if status.not_watched:
            console.print(f"  {status.not_watched}")
        for line in view_lines(status.views):
            console.print(f"  {line}")
        if status.views_away:
            console.print(f"  online views: {status.views_away}")
        if status.reason:
            console.print(f"  {status.reason}")
        console.print(f"  next: {status.next_step}")


def print_streams(states: Sequence[StreamState]) -> None:
    """Print what each connector of a stream has said last, two lines each."""
    from rich.console import Console

    console = Console(highlight=False)
    for state in states:
        reads = "ended" if state.ended else "reading"
        console.print(f"[bold]{state.name}[/]  {reads}, as of {state.at:%Y-%m-%d %H:%M:%S} UTC")
        console.print(f"  {state.summary()}")


def _without(labels: int | None) -> str:
    return f" ({labels:,} labels missing)" if labels else ""


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
