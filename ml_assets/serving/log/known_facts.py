"""Stored features of single answers, computed again from the facts that could be known to each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.keys import ComparedKeys, compare_keys
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, stored_features, stored_view
from ml_assets.online.export import SEQ
from ml_assets.online.facts.union import typed, union_facts

BUILD, LAST_SEQ = "__build__", "__last_seq__"
"""Columns of an answer: the build that was read, and the last pushed fact of the entity in it."""

LIVE = "__live__"
"""Column: whether the build was there and not too old."""

NO_BUILDS = pl.DataFrame(schema={"build": pl.String, "as_of": MOMENT, "valid_until": MOMENT, "table_version": pl.Int64})
"""The builds of a view that was never built."""

_ANSWER, _OLDEST = "__answer__", "__oldest__"


@dataclass(frozen=True)
class KnownFacts:
    """What the stored values of one view may have been made from.

    Attributes:
        view: its declaration, with a table.
        builds: the view's builds, as `Build.frame()` gives them; or NO_BUILDS.
        table_at: the view's table at a version.
        pushed: every fact that was pushed, `view.table_columns` and SEQ, and RETRACTS where any was taken back; None
            for none.
    """

    view: FeatureViewSpec
    builds: pl.DataFrame
    table_at: Callable[[int | None], pl.LazyFrame]
    pushed: pl.LazyFrame | None


def stored_values(requests: pl.DataFrame, facts: KnownFacts, time: str) -> pl.DataFrame:
    """Compute the values that a store without faults would have given.

    The facts of an answer are those of the build's version of the table that were known by the moment of the build,
    and those that were pushed up to LAST_SEQ; what arrived later does not count, however early it was known.

    Args:
        requests: the spine's columns with BUILD (String) and LAST_SEQ (Int64), null where no build was read; at `time`,
            when it was asked.

    Returns:
        LIVE and `stored_features(facts.view)`, in the order of `requests`; null where LIVE is false, as it is where
        another declaration than `facts.view` made the build.
    """
    builds = facts.builds.select(pl.col("build").alias(BUILD), "as_of", "valid_until", "table_version").unique(BUILD)
    # What another declaration built was made from columns that its tables need not have.
    builds = builds.filter(of_declaration(builds[BUILD], facts.view))
    requests = requests.with_row_index(_ANSWER)
    behind = requests.join(builds, on=BUILD, how="inner", maintain_order="left")
    live = behind.filter(pl.col("valid_until").is_null() | (pl.col(time) < pl.col("valid_until")))
    view = _with_answer_in_entity(facts.view)
    names = stored_features(facts.view)
    parts = []
    for (_, as_of, version), rows in live.group_by(BUILD, "as_of", "table_version", maintain_order=True):
        events = _facts_of_answers(facts, view, rows, as_of, version, time)
        computed = compute_features(view, rows, events, time=time).select(_ANSWER, *names)
        parts.append(computed.with_columns(pl.lit(True).alias(LIVE)))
    if not parts:
        never = requests.with_columns(pl.lit(False).alias(LIVE), *(pl.lit(None).alias(name) for name in names))
        return never.select(LIVE, *names)
    joined = requests.select(_ANSWER).join(pl.concat(parts), on=_ANSWER, how="left", maintain_order="left")
    return joined.select(pl.col(LIVE).fill_null(False), *names)


def of_declaration(builds: pl.Series, view: FeatureViewSpec) -> pl.Series:
    """Return for each build, by its id, whether a declaration of a view made it; null for null."""
    return builds.str.ends_with(f"@{declaration_of(view)}")


def _with_answer_in_entity(view: FeatureViewSpec) -> FeatureViewSpec:
    """Return the view with the answer as a part of its entity, so that each answer has facts of its own."""
    stored = stored_view(view)
    return stored.model_copy(update={"entity": [*stored.entity, _ANSWER]})


def _facts_of_answers(
    facts: KnownFacts, view: FeatureViewSpec, rows: pl.DataFrame, as_of: datetime, version: int | None, time: str
) -> pl.LazyFrame:
    """Return the facts that could be known to each answer, with its number as part of their entity."""
    declared, columns = facts.view, facts.view.table_columns
    table = facts.table_at(version).select(columns)
    schema = table.collect_schema()
    if declared.known_at is not None:
        table = table.filter(pl.col(declared.known_at) <= as_of)
    delivered = _within_reach(declared, rows, table, time)
    if facts.pushed is None:
        return union_facts(delivered, None, view)
    ours = typed(facts.pushed, {**{name: schema[name] for name in columns}, SEQ: pl.Int64()})
    # In their order: one may take back what another has pushed.
    pushed = _within_reach(declared, rows, ours, time).filter(pl.col(SEQ) <= pl.col(LAST_SEQ)).sort(SEQ)
    return union_facts(delivered, pushed, view)


def _within_reach(view: FeatureViewSpec, rows: pl.DataFrame, facts: pl.LazyFrame, time: str) -> pl.LazyFrame:
    """Return the facts of each answer's entity, no older than the look-back; with the answer's number and LAST_SEQ."""
    keys = compare_keys(view, rows.schema, facts.collect_schema())
    known_at, look_back = view.known_at, view.look_back
    if known_at is None or look_back is None:
        return _of_each(facts, rows.lazy().select(_ANSWER, LAST_SEQ, *keys.of_spine), keys)
    requests = rows.lazy().select(_ANSWER, LAST_SEQ, (pl.col(time) - look_back).alias(_OLDEST), *keys.of_spine)
    first = rows.select(pl.col(time).min() - look_back).item()
    return _of_each(facts.filter(pl.col(known_at) > first), requests, keys).filter(pl.col(known_at) > pl.col(_OLDEST))


def _of_each(facts: pl.LazyFrame, requests: pl.LazyFrame, keys: ComparedKeys) -> pl.LazyFrame:
    facts = facts.with_columns(keys.of_table)
    return facts.join(requests, on=keys.names, how="inner") if keys.names else facts.join(requests, how="cross")
