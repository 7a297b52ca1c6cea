"""The decisions of all models as one list: who serves, and whether to train again."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.console.stores import Stores
from ml_assets.lake import Lake
from ml_assets.lake.records import NUMBER, RECORD
from ml_assets.registry.decisions import champion_key
from ml_assets.registry.decisions import read_decisions as read_promotions
from ml_assets.training.promotion.approval import find_waiting
from ml_assets.training.promotion.records import APPROVED, REFUSED

PROMOTION, RETRAINING = "promotion", "retraining"
KINDS = (PROMOTION, RETRAINING)
PAGE = 100
"""Decisions on one page."""

_MOMENT = pl.Datetime("us", "UTC")
LIST = {
    "id": pl.String,
    "model": pl.String,
    "kind": pl.String,
    "about": pl.String,
    "version": pl.String,
    "champion": pl.String,
    "outcome": pl.String,
    "by": pl.String,
    "reason": pl.String,
    "as_of": _MOMENT,
    "decided_at": _MOMENT,
    "waits": pl.Boolean,
    "stands": pl.Boolean,
}
"""Columns of the list: `about` is a version or a drop, `by` a rule or a person, `stands` whether no later decision on
the same drop has taken its place."""


@dataclass(frozen=True)
class DecisionFilter:
    """Which decisions are wanted; an empty text stands for all.

    Attributes:
        since, until: bounds of the moment that a decision looks from, this one included and that one excluded.
        page: the part of the list, from 1.
    """

    model: str = ""
    kind: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    page: int = 1


@dataclass(frozen=True)
class DecisionList:
    """A part of the decisions that are wanted, the newest first, and how many there are."""

    rows: list[dict]
    found: int
    pages: int
    waiting: list[dict]
    models: list[str]
    outcomes: list[str]


def list_decisions(stores: Stores, wanted: DecisionFilter) -> DecisionList:
    """Return the wanted decisions, and those of any model that wait for a person."""
    every = read_list(stores)
    found = every.filter(*_conditions(wanted))
    first = (wanted.page - 1) * PAGE
    return DecisionList(
        rows=found.slice(first, PAGE).to_dicts(),
        found=found.height,
        pages=max(1, -(-found.height // PAGE)),
        waiting=every.filter("waits").to_dicts(),
        models=sorted(stores.project.models),
        outcomes=every["outcome"].unique().sort().to_list(),
    )


def read_list(stores: Stores) -> pl.DataFrame:
    """Return every decision on every declared model, the newest first: columns ``LIST``."""
    frames = [_of_model(stores, model) for model in stores.project.models]
    every = pl.concat([pl.DataFrame(schema=LIST), *frames])
    return every.sort("as_of", "decided_at", descending=True, nulls_last=True, maintain_order=True)


def _of_model(stores: Stores, model: str) -> pl.DataFrame:
    tables = [champion_key(model), f"{model}/retrain_decision"]

    def make() -> pl.DataFrame:
        return pl.concat([_promotions(stores.lake, model), _retrainings(stores.lake, model)])

    return stores.read(("decisions", model), tables, make)


def _conditions(wanted: DecisionFilter) -> list[pl.Expr]:
    named = {"model": wanted.model, "kind": wanted.kind, "outcome": wanted.outcome}
    conditions = [pl.col(column) == value for column, value in named.items() if value]
    if wanted.since is not None:
        conditions.append(pl.col("as_of") >= wanted.since)
    if wanted.until is not None:
        conditions.append(pl.col("as_of") < wanted.until)
    return conditions


def _promotions(lake: Lake, model: str) -> pl.DataFrame:
    records = read_promotions(lake, model)
    waiting = find_waiting(records)
    rows = [
        {
            # Decisions from before they had ids are told apart by their place.
            "id": record.id or f"{model}-{number}",
            "model": model,
            "kind": PROMOTION,
            "about": f"version {record.challenger}",
            "version": record.challenger,
            "champion": record.champion,
            "outcome": record.answer,
            "by": record.by if record.rule in (APPROVED, REFUSED) else f"rule {record.rule}",
            "reason": record.reason,
            "as_of": datetime.fromisoformat(record.as_of) if record.as_of else None,
            "decided_at": record.decided_at,
            "waits": record is waiting,
            "stands": True,
        }
        for number, record in enumerate(records, 1)
    ]
    return pl.DataFrame(rows, schema=LIST)


def _retrainings(lake: Lake, model: str) -> pl.DataFrame:
    """Read retraining decisions from their columns: of a model with many drops, parsing each record takes seconds."""
    key = f"{model}/retrain_decision"
    if not lake.exists(key):
        return pl.DataFrame(schema=LIST)
    rows = lake.scan(key)
    there = rows.collect_schema()

    def stored(column: str, field: str) -> pl.Expr:
        """Return a field of the record, from its column where the table has one."""
        return pl.col(column) if column in there else pl.col(RECORD).str.json_path_match(f"$.{field}")

    retrain = stored("retrain", "retrain").cast(pl.String) == "true"
    listed = rows.select(
        id=stored("decision_id", "id"),
        model=pl.lit(model),
        kind=pl.lit(RETRAINING),
        about=pl.format("drop {}", pl.col(RECORD).str.json_path_match("$.drop")),
        version=stored("champion", "champion"),
        champion=stored("champion", "champion"),
        outcome=pl.when(retrain).then(pl.lit("retrain")).otherwise(pl.lit("wait")),
        by=pl.format("rule {}", stored("rule", "rule")),
        reason=stored("reason", "reason"),
        as_of=stored("as_of", "as_of").str.to_datetime(time_unit="us", time_zone="UTC"),
        decided_at=pl.lit(None, _MOMENT),
        waits=pl.lit(False),
        number=pl.col(NUMBER).cast(pl.Int64) if NUMBER in there else pl.int_range(pl.len()),
    ).collect()
    stands = pl.col("number").fill_null(0) == pl.col("number").fill_null(0).max().over("about")
    return listed.sort("number", nulls_last=False).with_columns(stands=stands).select(*LIST)
