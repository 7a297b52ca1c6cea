"""A shop that has lived: three months of orders, a champion trained on them, April scored and watched.

Its tables are written by the functions that the assets call, which takes a third of the time of running the assets.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import polars as pl
import pytest

import ml_assets
from ml_assets.features.compute import compute_to_files
from ml_assets.lake import Lake
from ml_assets.lake.records import add_records
from ml_assets.modelling import evaluation
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.predictions import score_drops
from ml_assets.modelling.promotion import decide_on_challenger
from ml_assets.modelling.records import replace_as_of, write_record
from ml_assets.modelling.training import train_challenger
from ml_assets.modelling.training_set import build_training_set, store_training_set
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.files import compute_to_files as outcomes_to_files
from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.retraining.evidence import Evidence
from ml_assets.training.search.search import TunedParameters

HISTORY, APRIL = ["2024-01", "2024-02", "2024-03"], "2024-04"
AS_OF = datetime(2024, 4, 1, tzinfo=UTC)
NOW = datetime(2024, 4, 1, 8, 30, tzinfo=UTC)

HISTORY_VIEW = {
    "type": "ml_assets.FeatureView",
    "attributes": {
        "name": "customer_history", "description": "What the customer has sent back.", "spine": "orders",
        "table": "orders/validated", "entity": ["customer"], "known_at": "settled_at", "windows": ["28d"],
        "aggregates": {"returned": {"of": "CAST(returned AS INT)", "functions": ["mean", "count"]}},
    },
}  # fmt: skip
SENT_BACK = {
    "type": "ml_assets.Outcome",
    "attributes": {
        "name": "sent_back", "description": "How many orders the customer sends back.", "spine": "orders",
        "table": "orders/validated", "entity": ["customer"], "happened_at": "placed_at", "known_at": "settled_at",
        "window": "7d", "settles": "2d", "where": "returned", "aggregate": {"functions": ["count", "time_to_first"]},
        "label": "count",
    },
}  # fmt: skip
RETURNS = {
    "features": ["order", "customer_history"], "slices": ["customer"], "owners": ["team:shop"],
    "split": {"validation": "14d", "holdout": "14d", "gap": "2d"}, "description": "Whether an order comes back.",
}  # fmt: skip


@dataclass(frozen=True)
class Lived:
    """The shop's folder, and the lake and registry of its home."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @cached_property
    def lake(self) -> Lake:
        return Lake(str(self.home / "lake"))

    @cached_property
    def registry(self) -> Registry:
        (self.home / "mlflow").mkdir(exist_ok=True)
        return Registry(f"sqlite:///{self.home}/mlflow/mlflow.db", str(self.home / "mlflow/artifacts"), "ml_assets")


@pytest.fixture(scope="session")
def lived(make_project, made_up_orders, tmp_path_factory):
    declared = made_up_orders.declared(tmp_path_factory.mktemp("none"), **RETURNS)
    shop = Lived(make_project(*declared, HISTORY_VIEW, SENT_BACK).folder)
    for drop in (*HISTORY, APRIL):
        orders = made_up_orders.of(drop, 10).with_columns(pl.format("c{}", pl.col("id") % 7).alias("customer"))
        shop.lake.replace("orders/validated", orders.with_columns(_drop=pl.lit(drop)), {"_drop": [drop]})
    context = opened(shop).context("returns")
    for view in context.views:
        store_features(shop.lake, context, view, tmp_path_factory.mktemp("features"))
    store_outcomes(shop.lake, opened(shop), tmp_path_factory.mktemp("outcomes"))
    train(shop, context)
    scored = score_drops(shop.lake, shop.registry, context, [APRIL], by_condition=False, scored_at=NOW)
    shop.lake.replace("returns/predictions", scored.rows, {"_drop": [APRIL]})
    watch(shop.lake)
    return shop


def store_features(lake, context, view, folder):
    drops = [*HISTORY, APRIL]
    rows = context.spine.scan(lake, drops, view.spine_columns)
    computed = compute_to_files(view, rows, view.facts(lake), folder, partition="_drop", time=context.spine.time)
    lake.replace(view.key, computed.stored, {"_drop": drops})


def store_outcomes(lake, project, folder):
    outcome, spine = project.declared_outcomes["sent_back"], project.spines["orders"]
    drops, by = [*HISTORY, APRIL], outcome.row(spine)
    facts = lake.scan(outcome.table)
    until = outcome.completeness(lake, project.sources["orders"]).until
    rows, times = spine.scan(lake, drops, by), OutcomeTimes(spine.time)
    computed = outcomes_to_files(outcome, rows, facts, folder, by=by, times=times, complete_until=until)
    lake.replace(outcome.key, computed.stored, {"_drop": drops})


def train(shop: Lived, context: ModelContext):
    lake, registry, moment = shop.lake, shop.registry, AS_OF.isoformat()
    store_training_set(lake, context, build_training_set(lake, context, AS_OF))
    tuned = TunedParameters(
        study="none", fingerprint="none", parameters={"max_depth": 2}, metric="roc_auc", best_value=0.9,
        best_rounds=10, trials=1, pruned=0, seconds=0.0,
    )  # fmt: skip
    write_record(lake, "returns/tuned_parameters", moment, tuned)
    origin = RunOrigin(
        code_commit="3f2a", code_changed=True, platform="0.1.0", dagster_run_id="d1",
        table_versions={"orders/validated": lake.version("orders/validated")},
    )  # fmt: skip
    trained, _ = train_challenger(lake, registry, context, moment, origin, "sqlite://")
    write_record(lake, "returns/model", moment, trained, trained.version)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_plots", lambda *_: {})  # drawing takes longer than all else
        evaluated = evaluation.evaluate_challenger(lake, registry, context, moment)
    for name, rows in (("evaluation", evaluated.rows), ("reference", evaluated.reference)):
        replace_as_of(lake, f"returns/{name}", moment, rows, trained.version)
    decide_on_challenger(lake, registry, context, trained, NOW)


def watch(lake: Lake):
    """Reports and a decision as monitoring writes them; what it measures is tested elsewhere."""
    month = {"chunk_start": AS_OF, "chunk_end": datetime(2024, 5, 1, tzinfo=UTC), "rows": 300, "scope": "period"}
    about = {**month, "_drop": APRIL, "model_version": "1"}
    drifts = [
        {"feature": feature, "method": method, "value": value, "threshold": 0.2, "alert": value > 0.2}
        for feature, method, value in (("price", "psi", 0.4), ("returned_mean_28d", "psi", 0.1), ("price", "js", 0.9))
    ]
    lake.replace("returns/drift_report", pl.DataFrame([about | drift for drift in drifts]))
    kinds = [{"kind": kind, "metric": "roc_auc", "value": 0.9, "alert": False} for kind in ("estimated", "realised")]
    chunk = about | {"scope": "chunk"} | kinds[0]
    lake.replace("returns/performance_report", pl.DataFrame([*(about | kind for kind in kinds), chunk]))
    page = Path(lake.uri("returns/reports")) / f"{APRIL}.html"
    page.parent.mkdir()
    page.write_text("<html>April</html>")
    evidence = Evidence(
        kind="gate", observed=0, threshold=0, breached=False, breaches=0, chunks=1, unit="checks", side="above",
        source="none failed",
    )  # fmt: skip
    record = DecisionRecord(
        id="1", model="returns", drop=APRIL, as_of="2024-05-01T00:00:00+00:00", champion="1", retrain=False,
        rule="nothing_breached", reason="wait", evidence=(evidence,), causes=(),
    )  # fmt: skip
    add_records(lake, "returns/retrain_decision", [record], [{"_drop": APRIL}], "_drop")


def opened(shop: Lived) -> ml_assets.Project:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(shop.home))
        return ml_assets.open_project(shop.folder)


@pytest.fixture(scope="session")
def shop(lived) -> ml_assets.Project:
    """The project as Python opens it."""
    return opened(lived)
