"""Labels that come without a new drop are asked for once, all their drops in one run: tick by tick."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import numpy as np
import polars as pl
import pytest

from ml_assets.automation.sensors.labels import label_sensor
from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.measure import measure_performance, store_measures
from ml_assets.modelling.records import AS_OF
from ml_assets.monitoring.performance import watch
from ml_assets.monitoring.performance.table import no_performance
from ml_assets.resources import LakeResource, RegistryResource

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
NAMES = ["2024-01-01", "2024-01-02", "2024-01-03"]
REGISTRY = SimpleNamespace(inputs=lambda *_: None)


def rows(known: int) -> pl.DataFrame:
    """Twenty rows a day, of which the first `known` of each day have a label, known as the last day ends."""
    at = [START + day * DAY + timedelta(minutes=i) for day in range(3) for i in range(20)]
    score = np.random.default_rng(1).random(60).round(3)
    frame = pl.DataFrame({"id": range(60), "at": at, "score": score, "found_at": [START + 3 * DAY] * 60})
    frame = frame.with_columns(drop=pl.col("at").dt.strftime("%Y-%m-%d"), bad=pl.int_range(60) % 3 == 0)
    has_label = pl.col("id") % 20 < known
    return frame.with_columns(pl.when(has_label).then("bad"), pl.when(has_label).then("found_at"))


@pytest.fixture
def model() -> ModelContext:
    keyed = {"key": ["id"], "time": "at", "partition": "drop"}
    drops = {"grain": "daily", "start": NAMES[0]}
    spine = DeclaredSpine.model_validate({"name": "rows", "table": "rows", "drops": drops, **keyed})
    model = DeclaredModel.model_validate(
        {
            "name": "fraud", "description": "Whether it is fraud.", "spine": "rows", "features": ["none"],
            "split": {"validation": "1d", "holdout": "1d", "gap": "3d"},
            "label": {"column": "bad", "known_at": "found_at"}, "monitoring": {"chunk": "1d", "earlier_drops": 0},
        }
    )  # fmt: skip
    return ModelContext.of(model, spine, [], "shop")


@pytest.fixture
def daemon(tmp_path, model, monkeypatch):
    """Three days measured as they ended, when no label was known; and the sensor as the daemon looks through it."""
    lake = Lake(str(tmp_path))
    monkeypatch.setattr(watch, "estimate_performance", lambda *_, **__: no_performance(pl.Datetime("us", "UTC")))
    monkeypatch.setattr(RegistryResource, "open", lambda _: REGISTRY)
    predicted = rows(0).select("drop", "id", "at", "score", prediction=pl.col("score") > 0.5, model_version=pl.lit("1"))
    lake.replace("rows", rows(0), {"drop": NAMES})
    lake.replace("fraud/predictions", predicted, {"drop": NAMES})
    lake.replace("fraud/reference", predicted.with_columns(pl.lit("2024-01-01").alias(AS_OF), bad=pl.lit(True)))
    instance = dg.DagsterInstance.ephemeral()

    class Daemon:
        cursor = None

        def measure(self, *drops):
            store_measures(lake, model, measure_performance(lake, REGISTRY, model, drops))

        def deliver(self, known):
            lake.replace("rows", rows(known), {"drop": NAMES})

        def look(self):
            resources = {
                "lake": LakeResource(root=lake.root),
                "registry": RegistryResource(tracking_uri="", artifacts=""),
            }
            context = dg.build_sensor_context(instance=instance, cursor=self.cursor, resources=resources)
            result = label_sensor("shop", [model], 30)(context)
            self.cursor = result.cursor
            return result.run_requests

        def start(self):
            work = {dg.AssetKey("rows")}
            return instance.add_run(
                dg.DagsterRun(job_name="other", status=dg.DagsterRunStatus.STARTED, asset_selection=work)
            )

        def end(self, run):
            instance.report_run_failed(run, "ended")

    opened = Daemon()
    opened.measure(*NAMES)
    yield opened
    instance.dispose()


def test_new_labels_are_asked_for_once_and_for_all_drops_together(daemon):
    assert daemon.look() == []
    assert daemon.look() == []
    daemon.deliver(10)
    (request,) = daemon.look()
    assert request.partition_key == NAMES[-1]
    assert [key.to_user_string() for key in request.asset_selection] == [
        "fraud/performance_report",
        "fraud/retrain_decision",
    ]
    assert daemon.look() == []  # asked for, and not run yet
    daemon.measure(NAMES[-1])
    assert daemon.look() == []
    daemon.deliver(10)
    assert daemon.look() == []  # the same labels again
    daemon.deliver(20)
    (again,) = daemon.look()
    assert again.run_key != request.run_key
    daemon.measure(NAMES[-1])
    assert daemon.look() == []


def test_labels_that_come_while_a_run_is_at_work_wait_for_its_end(daemon):
    daemon.look()
    daemon.deliver(10)
    run = daemon.start()
    assert daemon.look() == []
    daemon.end(run)
    assert len(daemon.look()) == 1
