"""What models and sources have in common: how old they are, and whether a gate held something back."""

# ruff: noqa: ARG002 - evidence takes what other kinds need
from datetime import UTC, datetime

from ml_assets.alerts.evidence import AlertEvidence, AlertObservation, observations_needed
from ml_assets.alerts.spec import AlertRule
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.deliveries.withheld import read_withheld
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.observations.drops import moment_of, newest_drops_of
from ml_assets.registry.decisions import read_decisions
from ml_assets.sources.spec import DROP
from ml_assets.training.promotion.records import OVERTAKEN, ROLLED_BACK

HOUR_S = 3_600.0


class Age(AlertEvidence):
    """Hours since the training cut-off of the champion, or since the end of a source's newest drop."""

    about = ("model", "source")
    unit = "hours"
    has_history = False

    def of_model(self, lake: Lake, model: ModelContext, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Look at the last decision that made a version champion."""
        made = [each for each in read_decisions(lake, model.spec.name) if each.promote and each.as_of]
        if not made:
            return []
        cut = datetime.fromisoformat(made[-1].as_of)
        return [_age(as_of, cut, f"version {made[-1].challenger} knows nothing later than")]

    def of_source(self, lake: Lake, source: DeclaredSource, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Look at the drops that are in use."""
        key = source.table("validated")
        drops = newest_drops_of(lake.partitions(key, DROP), source.drops, 1, as_of)
        if not drops:
            return []
        return [_age(as_of, moment_of(lake, key, drops[-1], source.drops), f"{drops[-1]} is the newest drop, up to")]


def _age(as_of: datetime, since: datetime, text: str) -> AlertObservation:
    since = since if since.tzinfo else since.replace(tzinfo=UTC)
    return AlertObservation(as_of, (as_of - since).total_seconds() / HOUR_S, f"{text} {since:%Y-%m-%d %H:%M} UTC")


class FailedGate(AlertEvidence):
    """Whether a gate held something back: 1 for a challenger that is refused or a drop that is withheld, else 0."""

    about = ("model", "source")
    unit = "1 where a gate failed, else 0"
    has_own_limit = True

    def of_model(self, lake: Lake, model: ModelContext, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Look at the decisions on challengers."""
        judged = [each for each in read_decisions(lake, model.spec.name) if each.rule not in (ROLLED_BACK, OVERTAKEN)]
        dated = [(each.decided_at, each) for each in judged if each.decided_at is not None and each.decided_at <= as_of]
        return [_held_back(at, not each.promote, each.reason) for at, each in dated[-observations_needed(rule) :]]

    def of_source(self, lake: Lake, source: DeclaredSource, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Look at the deliveries that are not in use because they failed a check."""
        key = source.table("raw")
        drops = newest_drops_of(lake.partitions(key, DROP), source.drops, observations_needed(rule), as_of)
        failed = {drop: each.failed for drop, each in read_withheld(source, lake).items() if each.failed}
        return [
            _held_back(
                moment_of(lake, key, drop, source.drops),
                drop in failed,
                f"{drop} is withheld: {', '.join(failed[drop])}" if drop in failed else f"{drop} passed its gate",
            )
            for drop in drops
        ]


def _held_back(at: datetime, failed: bool, text: str) -> AlertObservation:
    return AlertObservation(at, float(failed), text, 0.0, failed)


FRESHNESS, FAILED_GATE = Age(), FailedGate()
