"""The server's answers, gathered drop by drop and compared with what they should have been."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.row.features import computable
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.online.values.record import online_key

if TYPE_CHECKING:
    from ml_assets.online.stores.protocol import OnlineStore
    from ml_assets.registry.registry import Registry
    from ml_assets.serving.log.known_facts import KnownFacts
    from ml_assets.serving.log.served import Traffic
    from ml_assets.serving.log.skew import Skew
    from ml_assets.training.fit import TrainedModel

LOG = "request_log"


@dataclass(frozen=True)
class ServedDrop:
    """The answers of one drop as they are stored, counted and compared."""

    rows: pl.DataFrame
    traffic: "Traffic"
    skew: "Skew"


def read_log(lake: Lake, registry: "Registry", model: ModelContext) -> pl.LazyFrame:
    """Read the model's request log; before the first request an empty log, of what the champion would answer."""
    from ml_assets.registry.decisions import describe_no_champion
    from ml_assets.serving.log.request_log import LogSchema, log_frame
    from ml_assets.serving.log.served import keyed

    if lake.exists(model.key(LOG)):
        return keyed(lake.scan(model.key(LOG)), model.spine.key, model.spine.time)
    champion = registry.champion(model.spec.name)
    if champion is None:
        raise ValueError(describe_no_champion(lake, model.spec.name))
    schema = LogSchema.of(registry.load(model.spec.name, version=champion.version))
    keys = {name: dtype for name, dtype in _spine_types(lake, model).items() if name in model.spine.key}
    return log_frame([], {champion.version: replace(schema, given=keys)}).lazy()


def rows_that_answers_may_be_about(lake: Lake, spine: DeclaredSpine, log: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of a spine, lazily; of one whose rows are made, those asked about in its drops up to the newest
    that has been made. In some of these no moment of the calendar lies, so that nothing is ever made of them.

    Args:
        log: as `read_log` reads it.
    """
    if spine.made is None:
        return lake.scan(spine.table)
    newest = max(lake.partitions(spine.table, spine.partition), default="")
    come = pl.col(spine.partition).is_between(pl.lit(spine.drops.first), pl.lit(newest))
    return _asked_about(lake, spine, log).filter(come)


def _asked_about(lake: Lake, spine: DeclaredSpine, log: pl.LazyFrame) -> pl.LazyFrame:
    from ml_assets.serving.log.served import rows_asked_about

    schema = lake.scan(spine.table).collect_schema()
    return rows_asked_about(log, {name: schema[name] for name in spine.key}, spine.drops, spine.partition)


def count_unmatched(lake: Lake, spine: DeclaredSpine, log: pl.LazyFrame) -> dict[str, int]:
    """Count the answered rows that no row of a calendar will ever match, of a spine whose rows are made; else nothing.

    Returns:
        ``answered_without_a_moment``: in drops up to the newest made one in which no moment of the calendar lies; they
        are gathered. ``answered_outside_drops``: in drops that are not declared; they are not.
    """
    if (made := spine.made) is None:
        return {}
    stored = set(lake.partitions(spine.table, spine.partition))
    asked = _asked_about(lake, spine, log).group_by(spine.partition).len().collect(engine="streaming")
    without, outside = 0, 0
    for drop, rows in asked.iter_rows():
        if not spine.drops.expects(drop):
            outside += rows
        elif stored and drop not in stored and drop <= max(stored) and not made.moments_of(drop):
            without += rows
    return {"answered_without_a_moment": without, "answered_outside_drops": outside}


def known_facts(lake: Lake, online_store: "OnlineStore", model: ModelContext) -> "dict[str, KnownFacts]":
    """Return the facts that the stored features of the model's views may have been made from, with all pushed
    so far."""
    from ml_assets.online.export import export_pushed, pushed_facts
    from ml_assets.serving.log.known_facts import NO_BUILDS, KnownFacts

    facts = {}
    for view in stored_views(model):
        table: str = view.table or ""  # every stored view has one
        last = export_pushed(online_store, lake, view)
        built = online_key(view.name)
        builds = lake.scan(built).collect() if lake.exists(built) else NO_BUILDS
        table_at = partial(lake.scan, table)
        facts[view.name] = KnownFacts(view, builds, table_at, pushed_facts(lake, view.name, last))
    return facts


def stored_views(model: ModelContext) -> list[DeclaredView]:
    """Return the views whose features are read from the store at a request."""
    return [view for view in model.views if view.table is not None]


def gather_answers(
    lake: Lake,
    registry: "Registry",
    model: ModelContext,
    log: pl.LazyFrame,
    known: "dict[str, KnownFacts]",
    drop: str,
) -> ServedDrop:
    """Gather the answers about the rows of a drop, and recompute a sample from the facts that the server had."""
    from ml_assets.serving.log.served import answers_of, as_predictions, describe_traffic
    from ml_assets.serving.log.skew import Skew, find_skew, sample_answers
    from ml_assets.serving.rollout.challenger import FALLBACK

    spec, types = model.spec, _spine_types(lake, model)
    rows = rows_that_answers_may_be_about(lake, model.spine, log).filter(pl.col(model.spine.partition) == drop)
    answers = answers_of(log, rows.select(spec.spine.key).collect(), spec.spine.key)
    versions = answers.filter(pl.col("role") != FALLBACK)["model_version"].unique().sort()
    models = {version: registry.load(spec.name, version=version) for version in versions}
    served = as_predictions(
        answers,
        key={name: types[name] for name in spec.spine.key},
        time=model.spine.time,
        features=_feature_types(lake, model, models.values()),
    )
    sample = sample_answers(answers, spec.spine.key, model.served_as.skew_rows, spec.seed)
    skews = [
        find_skew(
            sample.filter(pl.col("model_version") == version),
            _recomputable(model.trained_on(trained.inputs), types),
            _of_same_declaration(known, model.trained_on(trained.inputs)),
            {version: trained},
            key=spec.spine.key,
            time=model.spine.time,
            spine=types,
        )
        for version, trained in models.items()
        if version in sample["model_version"]
    ]
    rows = served.select(pl.lit(drop).alias(model.spine.partition), pl.all())
    return ServedDrop(rows, describe_traffic(answers), Skew.together(skews))


def _recomputable(own: ModelContext, spine: dict[str, pl.DataType]) -> list[FeatureViewSpec]:
    """Return the views that a version was trained on, without features of columns that the spine lacks now."""
    return [computable(view, spine) for view in own.views]


def _of_same_declaration(known: "dict[str, KnownFacts]", own: ModelContext) -> "dict[str, KnownFacts]":
    """Return the facts of the views whose stored features are declared as a version was trained on them."""
    there = {view.name: declaration_of(view) for view in own.views if view.table is not None}
    return {name: facts for name, facts in known.items() if there.get(name) == declaration_of(facts.view)}


def _spine_types(lake: Lake, model: ModelContext) -> dict[str, pl.DataType]:
    return dict(lake.scan(model.spine.table).collect_schema())


def _feature_types(lake: Lake, model: ModelContext, answered: "Iterable[TrainedModel]") -> dict[str, pl.DataType]:
    """Return the types that training and batch scoring know the features by; features that are no longer declared have
    the type of their kind."""
    from ml_assets.training.encoding import STORED_TYPES

    rows = model.rows(lake, [])
    gone = {feature.name: STORED_TYPES[feature.kind] for trained in answered for feature in trained.encoding.features}
    return gone | {name: rows.schema[name] for name in model.features}


def about_traffic(
    lake: Lake, model: ModelContext, log: pl.LazyFrame, gathered: dict[str, ServedDrop]
) -> dict[str, Any]:
    """Return how many answers wait for their row of the spine or its drop, how many no row will ever match, and the
    traffic of each drop."""
    from ml_assets.serving.log.served import count_waiting

    spine, unmatched = rows_that_answers_may_be_about(lake, model.spine, log), count_unmatched(lake, model.spine, log)
    missing = count_waiting(log, spine, model.spec.spine.key)
    return {
        "waiting_for_a_spine_row": missing - unmatched.get("answered_outside_drops", 0),
        **unmatched,
        "traffic": {drop: asdict(served.traffic) for drop, served in gathered.items()},
    }
