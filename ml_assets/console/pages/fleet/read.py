"""Every model with what is known of it, the one that needs attention most first."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_assets.alerts.records import Alert
from ml_assets.alerts.store import EVENTS, open_alerts
from ml_assets.console.pages.fleet.attention import RANKS, STATES, AttentionState, Reason, reasons_for
from ml_assets.console.pages.fleet.facts import TABLES, ModelFacts, read_facts
from ml_assets.console.rendering import path_of
from ml_assets.console.stores import Stores
from ml_assets.declarations.specs import DeclaredModel
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.moments import drop_end


@dataclass(frozen=True)
class FleetRow:
    """A model among the others.

    Attributes:
        metric: that is watched.
        reasons: why it needs attention, the gravest first.
        data_until: end of the newest drop that was scored; None without any, or where rows are not cut.
    """

    model: str
    path: str
    description: str
    owners: list[str]
    tags: dict[str, str]
    metric: str
    reasons: list[Reason]
    facts: ModelFacts
    data_until: datetime | None

    @property
    def state(self) -> AttentionState:
        """That of the gravest reason."""
        return STATES[self.reasons[0].state]


@dataclass(frozen=True)
class ModelFilters:
    """Which models are shown; an empty text shows all.

    Attributes:
        tag: name of a tag, or `name=value`.
        text: that a model's name, description, owners, tags or reasons hold, in upper or lower case.
    """

    owner: str = ""
    tag: str = ""
    state: str = ""
    text: str = ""

    def take(self, row: FleetRow) -> bool:
        """Return whether a model is shown."""
        tag, _, value = self.tag.partition("=")
        words = [row.model, row.description, *row.owners, *row.tags, *row.tags.values()]
        words += [reason.text for reason in row.reasons]
        return (
            (not self.owner or self.owner in row.owners)
            and (not tag or (tag in row.tags and ("=" not in self.tag or row.tags[tag] == value)))
            and (not self.state or any(reason.state == self.state for reason in row.reasons))
            and (not self.text or self.text.casefold() in "\n".join(words).casefold())
        )


@dataclass(frozen=True)
class Fleet:
    """All models, and those that are shown.

    Attributes:
        counts: name of a state -> models whose gravest reason it is, of all models.
        broken: model -> why nothing can be said about it.
    """

    rows: list[FleetRow]
    total: int
    counts: dict[str, int]
    owners: list[str]
    tags: list[str]
    broken: dict[str, str]


def read_fleet(stores: Stores, filters: ModelFilters = ModelFilters()) -> Fleet:
    """Read every declared model; those that cannot be read are named with the reason."""
    alerts = _alerts_by_model(stores)
    rows, broken, now = [], {}, stores.clock()
    for model in stores.project.models.values():
        if model.spine not in stores.project.spines:
            broken[model.name] = f"its spine {model.spine} is not declared"
            continue
        rows.append(_row(stores, model, alerts.get(model.name, []), now))
    rows.sort(key=lambda row: (RANKS[row.reasons[0].state], -len(row.reasons), row.model))
    counts: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        counts[row.state.name] += 1
    return Fleet(
        rows=[row for row in rows if filters.take(row)],
        total=len(rows),
        counts={name: counts[name] for name in STATES if counts[name]},
        owners=sorted({owner for row in rows for owner in row.owners}),
        tags=sorted({f"{tag}={value}" for row in rows for tag, value in row.tags.items()}),
        broken=broken,
    )


def facts_of(stores: Stores, model: DeclaredModel) -> ModelFacts:
    """Return what the lake holds of a model, read again only when one of its tables has changed."""
    partition = stores.project.spines[model.spine].partition
    tables = [f"{model.name}/{table}" for table in TABLES]
    what = ("facts", model.name, partition, model.watched_metric)
    return stores.read(
        what, tables, lambda: read_facts(stores.lake, model.name, partition, model.watched_metric)
    )  # fmt: skip


def read_row(stores: Stores, model: DeclaredModel) -> FleetRow:
    """Read one model."""
    return _row(stores, model, _alerts_by_model(stores).get(model.name, []), stores.clock())


def _row(stores: Stores, model: DeclaredModel, alerts: Sequence[Alert], now: datetime) -> FleetRow:
    facts, drops = facts_of(stores, model), stores.project.spines[model.spine].drops
    page = path_of("models", model.name)
    cut = facts.last_drop is not None and drops.grain != WHOLE
    return FleetRow(
        model=model.name,
        path=page,
        description=model.description,
        owners=list(model.owners),
        tags=dict(model.tags),
        metric=model.watched_metric,
        reasons=reasons_for(facts, alerts, drops, model.watched_metric, now, page),
        facts=facts,
        data_until=drop_end(facts.last_drop, drops) if cut and facts.last_drop is not None else None,
    )


def _alerts_by_model(stores: Stores) -> dict[str, list[Alert]]:
    alerts = stores.read("open alerts", [EVENTS], lambda: open_alerts(stores.lake, about="model"))
    by_model: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_model.setdefault(alert.subject, []).append(alert)
    return by_model
