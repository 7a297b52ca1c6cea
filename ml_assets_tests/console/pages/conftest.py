"""A shop with a champion, predictions and reports, whose names are hostile: written by the functions that assets call.

Nothing of it runs Dagster or MLflow: the registry is a record of one version, and its model is fitted here.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

import ml_assets
from ml_assets.features.compute import compute_to_files
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.public.project import Project
from ml_assets.registry.records import RegisteredVersion
from ml_assets.serving.declared import RequestField
from ml_assets.serving.log.request_log import Answered, LogSchema, log_frame
from ml_assets.training.fit import TrainedModel, fit_model
from ml_assets.training.predictions.kept import hash_features
from ml_assets.training.predictions.scored import scored
from ml_assets.training.spec import TrainingSpec

HOSTILE = "<script>alert(1)</script>"
DROPS = ["2024-01", "2024-02", "2024-03"]
MARCH = DROPS[-1]
SCORED_AT = datetime(2024, 4, 1, 8, 30, tzinfo=UTC)
NOW = datetime(2024, 4, 2, tzinfo=UTC)

HISTORY = {
    "type": "ml_assets.FeatureView",
    "attributes": {
        "name": "history", "description": "What the customer did.", "spine": "orders", "table": "orders/validated",
        "entity": ["customer"], "known_at": "settled_at", "windows": ["28d"],
        "owners": ["team:shop"],
        "latest": {"last_amount": "amount"}, "ttl": "60d", "order_by": ["id"],
        "lags": {"amount_week_ago": {"of": "amount", "offset": "7d"}},
        "aggregates": {
            "spent": {"of": "amount", "functions": ["sum", "count"]},
            "back": {"of": "CAST(returned AS INT)", "functions": ["mean"]},
        },
        "derived": {"per_order": "spent_sum_28d / spent_count_28d"},
        "calendar": {"at": {"time_zone": "UTC", "parts": ["weekday"]}},
        "request": {f"who {HOSTILE}": "customer"},
    },
}  # fmt: skip


class Registry:
    """The registry of one version of `returns`."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained
        tags = {"as_of": "2024-03-01T00:00:00+00:00"}
        self.registered = RegisteredVersion(
            name="returns", version="1", run_id="r", location="", aliases=("champion",), tags=tags
        )

    def champion(self, name: str) -> RegisteredVersion | None:
        return self.registered if name == "returns" else None

    def versions(self, name: str) -> list[RegisteredVersion]:
        return [self.registered] if name == "returns" else []

    def load(self, name: str, *, version: str) -> TrainedModel:
        assert (name, version) == ("returns", "1")
        return self.trained


class Records:
    """Dagster's records of the shop: what checks said, and that the orders' table is made of nothing else."""

    def __init__(self, results=(), lineage=None) -> None:
        self.results, self.made_of = list(results), lineage or {}

    def check_results(self, key, names):
        return [result for result in self.results if key == ["orders", "validated"] and result.check in names]

    def checks_of(self, key, names, partition):
        return [result for result in self.check_results(key, names) if result.partition == partition]

    def lineage(self, key):
        return self.made_of.get("/".join(key), {})


@dataclass(frozen=True)
class Shop:
    project: Project
    registry: Registry
    context: ModelContext
    orders: pl.DataFrame
    features: pl.DataFrame

    @property
    def lake(self) -> Lake:
        return self.project.lake

    def load(self, version: str) -> TrainedModel:
        return self.registry.load("returns", version=version)

    def key(self, place: int = 0) -> tuple[str, ...]:
        """The key of a row of March."""
        return (str(self.features.filter(pl.col("_drop") == MARCH)["id"][place]),)


@pytest.fixture(scope="session")
def shop(make_project, made_up_orders, tmp_path_factory) -> Shop:
    split = {"validation": "14d", "holdout": "14d", "gap": "2d"}
    nothing = tmp_path_factory.mktemp("none")
    declared = made_up_orders.declared(nothing, features=["order", "history"], split=split)
    folder = make_project(*declared, HISTORY).folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(folder / "home"))
        project = ml_assets.open_project(folder)
    project.views["history"].owners.append(HOSTILE)  # not to be declared, and harmless all the same
    orders = _orders(made_up_orders)
    _write_source(project.lake, orders)
    context = project.context("returns")
    for view in context.views:
        rows = context.spine.scan(project.lake, DROPS, view.spine_columns)
        made = compute_to_files(
            view, rows, view.facts(project.lake), tmp_path_factory.mktemp("features"), partition="_drop",
            time="placed_at",
        )  # fmt: skip
        project.lake.replace(view.key, made.stored, {"_drop": DROPS})
    features = context.rows(project.lake, DROPS)
    registry = Registry(_trained(context, features))
    _write_model(project.lake, context, registry.trained, features)
    _write_log(project.lake, registry.trained, features)
    return Shop(project.over(project.lake), registry, context, orders, features)


def _orders(made_up_orders) -> pl.DataFrame:
    frames = [made_up_orders.of(drop, 3).with_columns(pl.lit(drop).alias("_drop")) for drop in DROPS]
    customers = pl.Series([HOSTILE, "ann", "bob", "=1+1"])
    return pl.concat(frames).with_columns(
        customer=customers.gather(pl.int_range(0, sum(f.height for f in frames), eager=True) % 4)
    )


def _write_source(lake: Lake, orders: pl.DataFrame) -> None:
    second = pl.when(pl.col("id") % 60 == 0).then(pl.lit("; settled_after_placed")).otherwise(pl.lit(""))
    bad = orders.filter(pl.col("id") % 30 == 0).with_columns(
        _row=pl.col("id") % 1000 + 1,
        _rules=pl.lit("amount: ge") + second,
        _columns=pl.lit("amount"),
    )  # fmt: skip
    for drop in DROPS:
        of_drop = pl.col("_drop") == drop
        lake.replace("orders/raw", orders.filter(of_drop).with_columns(_content_hash=pl.lit("h")), {"_drop": [drop]})
        lake.replace("orders/validated", orders.filter(of_drop), {"_drop": [drop]})
        lake.replace("orders/quarantine", bad.filter(of_drop), {"_drop": [drop]})


def _trained(context: ModelContext, features: pl.DataFrame) -> TrainedModel:
    cut = pl.col("_drop") == MARCH
    trained = fit_model(
        features.filter(~cut), features.filter(cut), features=context.features, label="returned",
        parameters={"max_depth": 3}, metric="roc_auc", seed=0, training=TrainingSpec(max_rounds=8, threads=1),
    )  # fmt: skip
    return replace(trained, inputs=context.inputs)


def _write_model(lake: Lake, context: ModelContext, trained: TrainedModel, features: pl.DataFrame) -> None:
    march = features.filter(pl.col("_drop") == MARCH)
    answered = scored(march, trained)
    kept = answered.select("_drop", "placed_at", "id", "score", "prediction").with_columns(
        pl.lit("1").alias("model_version"), pl.lit("{}").alias("feature_versions"),
        pl.lit(SCORED_AT).alias("scored_at"), hash_features(march, trained.features),
    )  # fmt: skip
    lake.replace("returns/predictions", kept, {"_drop": [MARCH]})
    lake.replace("returns/reference", answered.with_columns(model_version=pl.lit("1"), _as_of=pl.lit("a")))
    shares = {"price": 0.6, "spent_sum_28d": 0.3, "last_amount": 0.1}
    rows = [{"subject": "importance", "metric": name, "value": share} for name, share in shares.items()]
    rows += [{"subject": "model", "metric": "roc_auc", "value": 0.8}]
    lake.replace("returns/evaluation", pl.DataFrame(rows).with_columns(model_version=pl.lit("1"), _as_of=pl.lit("a")))
    lake.replace("returns/drift_report", _drift(context), {"_drop": DROPS[1:]})


def _drift(context: ModelContext) -> pl.DataFrame:
    values = {"price": 0.4, "spent_sum_28d": 0.1, f"who {HOSTILE}": 0.3, "last_amount": 0.05}
    start = datetime(2024, 3, 1, tzinfo=UTC)
    rows = []
    for drop, times in (("2024-02", 0.1), (MARCH, 1.0)):
        for feature, value in values.items():
            about = {"chunk_start": start, "chunk_end": start + timedelta(days=31), "rows": 93, "feature": feature}
            psi = {"method": "psi", "value": value * times, "threshold": 0.2, "alert": value * times > 0.2}
            js = {"method": "js", "value": 0.3, "threshold": 0.25, "alert": feature == "last_amount" and drop == MARCH}
            rows += [about | psi | {"scope": "period", "_drop": drop}, about | js | {"scope": "chunk", "_drop": drop}]
    assert {*values} <= {*context.features}
    return pl.DataFrame(rows).with_columns(model_version=pl.lit("1"))


def _write_log(lake: Lake, trained: TrainedModel, features: pl.DataFrame) -> None:
    """One answer about the first order of March, asked an hour after the batch, with another price."""
    first = features.filter(pl.col("_drop") == MARCH)[:1].with_columns(price=pl.lit(99.5))
    answer = scored(first, trained).select("score", "prediction").row(0, named=True)
    kinds = {"id": "integer", "customer": "text", "amount": "number"}
    fields = [RequestField(name=name, kind=kind, dtype="") for name, kind in kinds.items()]
    asked = Answered(
        request_id="q1", row=0, model="returns", version="1", role="champion",
        requested_at=int((SCORED_AT + timedelta(hours=1)).timestamp() * 1e6), latency=0.002,
        given={"id": first["id"][0], "customer": first["customer"][0], "amount": 99.5},
        features=first.select(trained.features).row(0, named=True), answer=answer, versions={},
        states={"history": "stale"},
    )  # fmt: skip
    lake.append("returns/request_log", log_frame([asked], {"1": LogSchema.of(trained, fields)}), ["_day"])


@pytest.fixture
def stub_records() -> type[Records]:
    return Records


@pytest.fixture
def about() -> SimpleNamespace:
    """Names that tests of several files use."""
    return SimpleNamespace(hostile=HOSTILE, drops=DROPS, march=MARCH, now=NOW, scored_at=SCORED_AT)
