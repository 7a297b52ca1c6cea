"""A made-up fleet: declarations, and the tables of many models over many drops, written quickly.

A few kinds of models are written, and each of the others has links to the files of one of them: a hundred models of a
thousand drops take seconds. What each kind is in follows from its number, so that a test can say what a page shows.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ml_assets.alerts.records import AlertEvent
from ml_assets.alerts.store import add_events
from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.lake.records import NUMBER, RECORD
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.retraining.evidence import Evidence
from ml_assets.training.promotion.records import PromotionRecord

START = datetime(2024, 1, 1, tzinfo=UTC)
FEATURES = ("amount", "basket_size", "days_since_last", "visits_7d", "discount", "country")
KINDS = ("well", "gate", "alert", "performance", "drift", "late", "approval", "none")
"""What the models are in, by their number; see `ml_assets.console.pages.fleet.attention`."""
LATE = 5
"""Drops that kind `late` lacks at the end."""
FLOOR = 0.65
ROWS, UNKNOWN = 2000, 100

SPINE = DeclaredSpine(
    name="orders", table="orders/validated", key=["id"], time="placed_at", partition="_drop",
    columns=[], drops={"grain": "daily", "start": "2024-01-01"},
)  # fmt: skip


@dataclass(frozen=True)
class MadeFleet:
    """What was made.

    Attributes:
        kinds: model -> what it is in.
        drops: of all models but those that are late.
        now: shortly after the end of the last drop.
    """

    declared: list
    kinds: dict[str, str]
    drops: list[str]
    now: datetime


def make_fleet(lake: Lake, models: int = 16, drops: int = 12, owners: int = 4) -> MadeFleet:
    """Write the tables of a fleet to a lake in a folder, and return its declarations."""
    names = [(START + timedelta(days=number)).strftime("%Y-%m-%d") for number in range(drops)]
    kinds = {f"model_{number:03}": KINDS[number % len(KINDS)] for number in range(models)}
    first: dict[str, str] = {}
    for model, kind in kinds.items():
        if kind not in first:
            _write_model(lake, model, kind, names)
            first[kind] = model
        elif kind != "none":
            _link(Path(lake.root) / first[kind], Path(lake.root) / model)
    alerts = [_alert(model) for model, kind in kinds.items() if kind == "alert"]
    add_events(lake, alerts, 0)
    declared = [SPINE, *(_model(name, number % owners) for number, name in enumerate(kinds))]
    return MadeFleet(declared, kinds, names, START + timedelta(days=drops, hours=6))


def realised(kind: str, drops: int) -> np.ndarray:
    """Return the realised metric of each drop of a kind of models."""
    noise = np.random.default_rng(KINDS.index(kind)).normal(0, 0.01, drops)
    values = 0.78 + noise
    if kind == "performance":
        values[-3:] = 0.6 + noise[-3:]
    return values


def _model(name: str, owner: int) -> DeclaredModel:
    return DeclaredModel(
        name=name, description=f"Whether an order comes back, number {name[-3:]}.", spine="orders", features=["none"],
        split={"validation": "10d", "holdout": "10d", "gap": "2d"},
        label={"column": "returned", "known_at": "settled_at"},
        owners=[f"team:{owner}"], tags={"area": "shop" if owner % 2 else "stock"},
        evaluation={"watched": "roc_auc"}, monitoring={"floors": {"roc_auc": FLOOR}},
    )  # fmt: skip


def _write_model(lake: Lake, model: str, kind: str, drops: list[str]) -> None:
    if kind == "none":
        return
    own = drops[:-LATE] if kind == "late" else drops
    where = {"_drop": own}
    lake.replace(f"{model}/champion", _champion(model, kind, own))
    lake.replace(f"{model}/performance_report", _performance(kind, own), where)
    lake.replace(f"{model}/drift_report", _drift(kind, own), where)
    lake.replace(f"{model}/retrain_decision", _decisions(model, kind, own), where)
    lake.replace(f"{model}/request_log", _requests(own), {"_day": own[-8:]})


def _link(source: Path, target: Path) -> None:
    for folder, _, files in os.walk(source):
        at = target / Path(folder).relative_to(source)
        at.mkdir(parents=True, exist_ok=True)
        for file in files:
            os.link(Path(folder) / file, at / file)


def _moments(drops: list[str]) -> pl.Series:
    return pl.Series("chunk_start", drops).str.to_datetime("%Y-%m-%d", time_zone="UTC", time_unit="us")


def _performance(kind: str, drops: list[str]) -> pl.DataFrame:
    values = realised(kind, len(drops))
    base = pl.DataFrame({"_drop": drops}).with_columns(
        _moments(drops), scope=pl.lit("period"), metric=pl.lit("roc_auc"), threshold=pl.lit(FLOOR),
        model_version=pl.lit("2"), past_errors=pl.lit(6), margin=pl.lit(0.03),
    )  # fmt: skip
    base = base.with_columns(chunk_end=pl.col("chunk_start") + pl.duration(days=1))
    known = base.with_columns(
        kind=pl.lit("realised"), value=values, rows=pl.lit(ROWS - UNKNOWN), missing=pl.lit(UNKNOWN),
        lower=values - 0.02, upper=values + 0.02,
    )  # fmt: skip
    guess = base.with_columns(
        kind=pl.lit("estimated"), value=values + 0.005, rows=pl.lit(ROWS), missing=pl.lit(None, pl.Int32),
        lower=values - 0.03, upper=values + 0.04,
    )  # fmt: skip
    return pl.concat([guess, known]).with_columns(alert=pl.col("value") < pl.col("threshold"))


def _drift(kind: str, drops: list[str]) -> pl.DataFrame:
    generator = np.random.default_rng(7)
    rows = pl.DataFrame({"_drop": drops}).with_columns(_moments(drops)).join(
        pl.DataFrame({"feature": FEATURES}), how="cross"
    )  # fmt: skip
    value = np.abs(generator.normal(0.03, 0.02, rows.height))
    rows = rows.with_columns(value=value, threshold=pl.lit(0.2), method=pl.lit("psi"), scope=pl.lit("period"))
    if kind == "drift":
        moved = pl.col("_drop").is_in(drops[-3:]) & (pl.col("feature") == "basket_size")
        rows = rows.with_columns(value=pl.when(moved).then(0.9).otherwise("value"))
    return rows.with_columns(
        alert=pl.col("value") > pl.col("threshold"), rows=pl.lit(ROWS), model_version=pl.lit("2"),
        chunk_end=pl.col("chunk_start") + pl.duration(days=1),
    )  # fmt: skip


def _evidence(kind: str, observed: float, threshold: float, breached: bool, side: str) -> Evidence:
    return Evidence(
        kind=kind, observed=observed, threshold=threshold, breached=breached, breaches=3 * breached, chunks=3,
        unit="share of features" if kind == "drift" else "roc_auc", side=side, source="made up",
    )  # fmt: skip


def _decisions(model: str, kind: str, drops: list[str]) -> pl.DataFrame:
    records = []
    for number, drop in enumerate(drops):
        last = number == len(drops) - 1
        breached = kind if last and kind in ("gate", "performance", "drift") else ""
        evidence = (
            _evidence("realised", 0.6 if (low := breached == "performance") else 0.78, FLOOR, low, "below"),
            _evidence("drift", 0.7 if breached == "drift" else 0.1, 0.5, breached == "drift", "above"),
            _evidence("gate", float(breached == "gate"), 0.0, breached == "gate", "above"),
        )  # fmt: skip
        rule = {"gate": "gate", "performance": "realised", "drift": "drift"}.get(breached, "nothing_breached")
        end = datetime.fromisoformat(drop).replace(tzinfo=UTC) + timedelta(days=1)
        records.append(
            DecisionRecord(
                id=f"{kind}{number}", model=model, drop=drop, as_of=end.isoformat(), champion="2",
                retrain=rule in ("realised", "drift"), rule=rule, reason=f"made up: {rule}", evidence=evidence,
                causes=(),
            )
        )  # fmt: skip
    shown = [{"decision_id": r.id, "_drop": r.drop, "retrain": r.retrain, "rule": r.rule} for r in records]
    texts = [record.model_dump_json() for record in records]
    return pl.DataFrame(shown).with_columns(pl.Series(RECORD, texts), pl.int_range(1, pl.len() + 1).alias(NUMBER))


def _champion(model: str, kind: str, drops: list[str]) -> pl.DataFrame:
    def record(version: str, champion: str | None, days: int, **more) -> PromotionRecord:
        at = START + timedelta(days=days)
        made = {
            "model": model, "challenger": version, "champion": champion, "promote": True, "rule": "first_champion",
            "reason": "made up", "evidence": (), "id": f"p{version}", "run_id": f"run{version}",
            "as_of": at.isoformat(), "decided_at": at + timedelta(hours=1),
        }  # fmt: skip
        return PromotionRecord(**(made | more))

    middle = len(drops) // 2
    records = [record("1", None, 0), record("2", "1", middle, rule="no_worse_than_champion")]
    if kind == "approval":
        records.append(record("3", "2", len(drops), promote=False, rule="waits_for_approval"))
    texts = [each.model_dump_json() for each in records]
    return pl.DataFrame({NUMBER: range(1, len(records) + 1), RECORD: texts, "_as_of": [r.as_of for r in records]})


def _requests(drops: list[str]) -> pl.DataFrame:
    days = drops[-8:]
    at = _moments(days).repeat_by(100).explode().sort()
    return pl.DataFrame({"requested_at": at, "latency_ms": np.tile(np.arange(1.0, 101.0), len(days))}).with_columns(
        pl.col("requested_at").dt.strftime("%Y-%m-%d").alias("_day"), role=pl.lit("champion")
    )


def _alert(model: str) -> AlertEvent:
    return AlertEvent(
        alert=f"a-{model}", kind="opened", at=START, about="model", subject=model, rule="rows", evidence="rows",
        severity="critical", text="half of the rows are missing", value=1000.0, limit=2000.0,
    )  # fmt: skip
