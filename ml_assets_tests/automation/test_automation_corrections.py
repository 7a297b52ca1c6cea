"""A corrected drop reaches the features of every later drop that looks back into it: real components, tick by tick.

orders/raw - orders/validated -+- features/buying (28 days back), features/last (any age), features/order (none)
                               +- turnover (rebuilt whole by each drop) - features/turnover (28 days back)
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from textwrap import dedent

import dagster as dg
import polars as pl
import pytest

from ml_assets.automation.sensors.corrections import Reached, correction_sensor
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.spine import Spine
from ml_assets.features.engine.compute import compute_features
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource

pytestmark = pytest.mark.slow

MONTHLY = {"grain": "monthly", "start": "2024-01", "end": "2024-09"}
JANUARY, FEBRUARY, MARCH, APRIL, MAY, JUNE, JULY = (f"2024-0{number}" for number in range(1, 8))
VIEWS = ["buying", "last", "order", "turnover"]

MART = """
    import dagster as dg
    import polars as pl

    from ml_assets.components.conditions import follow_together
    from ml_assets.components.partitions import SINGLE_RUN, partitions_of
    from ml_assets.components.stages import STAGE, TABLE
    from ml_assets.resources import LakeResource
    from ml_assets.sources.drops.spec import Drops

    MONTHLY = partitions_of(Drops(grain="monthly", start="2024-01", end="2024-09"))
    KEY, READ = dg.AssetKey("turnover"), dg.AssetKey(["orders", "validated"])


    @dg.multi_asset(
        name="marts",
        specs=[
            dg.AssetSpec(
                KEY, deps=[READ], partitions_def=MONTHLY, tags={STAGE: TABLE}, group_name="shop",
                automation_condition=follow_together(MONTHLY, [KEY], [READ]),
            )
        ],
        backfill_policy=SINGLE_RUN,
    )
    def marts(lake: LakeResource):
        # As dbt does it: each drop rebuilds the whole table.
        orders = lake.open().scan("orders/validated")
        lake.open().replace("turnover", orders.select("customer", "settled_at", pl.col("amount") * 2).collect())
        return dg.MaterializeResult(asset_key=KEY)
"""


def orders(month, **changed):
    """Four orders a day, each settled a day later; `changed` holds amounts by number of the row."""
    start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    days = ((start + timedelta(days=31)).replace(day=1) - start).days
    placed = [start + timedelta(hours=6 * i) for i in range(4 * days)]
    amounts = [float(changed.get(f"row_{i}", i % 17)) for i in range(len(placed))]
    return pl.DataFrame(
        {
            "id": [1000 * int(month[-2:]) + i for i in range(len(placed))],
            "customer": [f"c{i % 3}" for i in range(len(placed))],
            "amount": amounts,
            "placed_at": placed,
            "settled_at": [at + timedelta(days=1) for at in placed],
            "returned": [i % 4 == 0 for i in range(len(placed))],
        }
    )


def declared(delivered: Path) -> list[dict]:
    source = {
        "name": "orders", "description": "Orders.", "where": {"path": str(delivered / "{partition}.csv")},
        "drops": MONTHLY, "contract": "CONTRACTS:Orders", "key_columns": ["id"],
    }  # fmt: skip
    spine = {
        "name": "orders", "table": "orders/validated", "key": ["id"], "time": "placed_at", "partition": "_drop",
        "drops": MONTHLY,
    }  # fmt: skip
    view = {"description": "Any.", "spine": "orders", "entity": ["customer"], "known_at": "settled_at"}
    summed = {"windows": ["28d"], "aggregates": {"amount": {"of": "amount", "functions": ["sum"]}}}
    read = {"table": "orders/validated"}
    doubled = {"windows": ["28d"], "aggregates": {"turnover": {"of": "amount", "functions": ["sum"]}}}
    return [
        {"type": "ml_assets.Source", "attributes": source},
        {"type": "ml_assets.Spine", "attributes": spine},
        *(
            {"type": "ml_assets.FeatureView", "attributes": one}
            for one in (
                view | read | summed | {"name": "buying"},
                view | read | {"name": "last", "latest": {"last_amount": "amount"}},
                {
                    "name": "order", "description": "Order.", "spine": "orders", "entity": ["id"],
                    "request": {"price": "amount"},
                },
                view | doubled | {"name": "turnover", "table": "turnover"},
            )
        ),
    ]  # fmt: skip


@dataclass
class Daemon:
    """What Dagster's daemon does with a project, one tick at a time: conditions, then the sensor for corrections."""

    project: object
    delivered: Path
    condition_cursor: object = None
    sensor_cursor: str | None = None
    made: Counter = field(default_factory=Counter)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """With resources that are never used: what is asked for is run elsewhere."""
        nothing = dict.fromkeys(["lake", "registry", "as_of"], dg.ResourceDefinition.none_resource())
        return dg.Definitions.merge(self.project.definitions, dg.Definitions(resources=nothing))

    @property
    def lake(self) -> Lake:
        return self.project.lake

    def deliver(self, frame, month):
        frame.write_csv(self.delivered / f"{month}.csv")

    def run(self, names, drops):
        outcome = self.project.run(*sorted(names), drops=drops)
        for event in outcome.result.get_asset_materialization_events():
            self.made[event.asset_key.to_user_string(), event.partition] += 1
        return outcome

    def ingest(self, *drops):
        return self.run(["orders/raw"], drops)

    def tick(self):
        """One tick of the conditions and of the sensor; whether anything was asked for."""
        asked = dg.evaluate_automation_conditions(self.definitions, self.project.instance, cursor=self.condition_cursor)
        self.condition_cursor = asked.cursor
        by_drop = {}
        for key in self.definitions.resolve_asset_graph().get_all_asset_keys():
            for drop in asked.get_requested_partitions(key):
                by_drop.setdefault(drop, set()).add(key.to_user_string())
        for drop, names in sorted(by_drop.items()):
            self.run(names, [drop])
        requests = self.look()
        for request in requests:
            tags = request.tags
            ends = [tags.get(f"dagster/asset_partition_range_{end}", request.partition_key) for end in ("start", "end")]
            self.run([key.to_user_string() for key in request.asset_selection], months(*ends))
        return bool(by_drop or requests)

    def look(self):
        tree = self.project.tree
        spines = {spine.name: spine for spine in tree.get_all_components(of_type=Spine)}
        views = [Reached(view, spines[view.spine]) for view in tree.get_all_components(of_type=FeatureView)]
        context = dg.build_sensor_context(
            instance=self.project.instance, cursor=self.sensor_cursor,
            resources={"lake": LakeResource(root=self.lake.root)},
        )  # fmt: skip
        result = correction_sensor("shop", views, 30)(context)
        self.sensor_cursor = result.cursor
        return result.run_requests

    def rest(self):
        """Tick until nothing is asked for any more; returns what was made, drop by drop, of features."""
        self.made.clear()
        quiet = 0
        for _ in range(20):
            quiet = 0 if self.tick() else quiet + 1
            if quiet == 2:
                return {
                    view: {drop: n for (key, drop), n in sorted(self.made.items()) if key == f"features/{view}"}
                    for view in VIEWS
                }
        raise AssertionError(f"it never comes to rest: {self.made}")

    def differing(self, view, table):
        """Rows whose stored features are not those of a recomputation from what the lake holds now."""
        component = next(v for v in self.project.tree.get_all_components(of_type=FeatureView) if v.name == view)
        spine = self.lake.scan("orders/validated").select("_drop", "id", "customer", "placed_at").collect()
        expected = compute_features(component, spine, self.lake.scan(table), time="placed_at")
        stored = self.lake.scan(f"features/{view}").collect()
        names, on = component.feature_names, ["_drop", "customer", "placed_at"]
        beside = spine.select(on).hstack(expected.select(names)).unique().join(stored, on=on, suffix="_stored")
        differs = pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"{n}_stored")) for n in names)
        assert beside.height == spine.select(on).unique().height
        return beside.filter(differs).height


def months(first, last):
    names = [f"2024-{number:02}" for number in range(1, 13)]
    return [name for name in names if first <= name <= last]


@pytest.fixture(scope="module")
def daemon(make_project, tmp_path_factory):
    """The shop without February, at rest."""
    delivered = tmp_path_factory.mktemp("delivered")
    project = make_project(*declared(delivered))
    (package,) = project.folder.glob("made_up_shop_*")
    (package / "defs" / "mart.py").write_text(dedent(MART))
    opened = Daemon(project, delivered)
    opened.tick()
    for month in (JANUARY, MARCH, APRIL):
        opened.deliver(orders(month), month)
    opened.ingest(JANUARY)
    opened.ingest(MARCH, APRIL)
    assert opened.rest() == {view: dict.fromkeys([JANUARY, MARCH, APRIL], 1) for view in VIEWS}
    yield opened
    project.instance.dispose()


def once(*drops):
    return dict.fromkeys(drops, 1)


# The tests of this module follow one another in one home.


def test_a_drop_that_comes_late_reaches_those_that_came_before_it(daemon):
    daemon.deliver(orders(FEBRUARY), FEBRUARY)
    daemon.ingest(FEBRUARY)
    assert daemon.rest() == {
        "buying": once(FEBRUARY, MARCH),
        "last": once(FEBRUARY, MARCH, APRIL),
        "order": once(FEBRUARY),
        "turnover": once(FEBRUARY, MARCH),
    }
    assert daemon.differing("buying", "orders/validated") == 0


ONCE = {
    "the end of February": (
        FEBRUARY, {"row_110": 900.0},
        {"buying": once(FEBRUARY, MARCH), "last": once(FEBRUARY, MARCH, APRIL), "turnover": once(FEBRUARY, MARCH)},
    ),
    "the beginning of January": (
        JANUARY, {"row_0": 900.0},
        {"buying": once(JANUARY), "last": once(JANUARY, FEBRUARY, MARCH, APRIL), "turnover": once(JANUARY)},
    ),
    "the newest drop": (
        APRIL, {"row_110": 900.0}, {"buying": once(APRIL), "last": once(APRIL), "turnover": once(APRIL)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", ONCE)
def test_a_correction_costs_exactly_the_drops_within_reach_once(daemon, where):
    month, changed, reached = ONCE[where]
    daemon.deliver(orders(month, **changed), month)
    daemon.ingest(month)
    assert daemon.rest() == reached | {"order": once(month)}
    assert daemon.differing("buying", "orders/validated") == 0
    assert daemon.differing("last", "orders/validated") == 0
    assert daemon.differing("turnover", "turnover") == 0


def test_a_correction_that_is_taken_back_costs_the_same(daemon):
    daemon.deliver(orders(FEBRUARY), FEBRUARY)
    daemon.ingest(FEBRUARY)
    assert daemon.rest()["buying"] == once(FEBRUARY, MARCH)
    assert daemon.differing("buying", "orders/validated") == 0


def test_the_same_content_delivered_again_makes_nothing_else_again(daemon):
    daemon.ingest(FEBRUARY)
    assert daemon.rest() == {view: once(FEBRUARY) for view in VIEWS}


def test_a_new_drop_makes_no_other_again(daemon):
    daemon.deliver(orders(MAY), MAY)
    daemon.ingest(MAY)
    assert daemon.rest() == {view: once(MAY) for view in VIEWS}


def test_a_correction_while_a_run_is_at_work_waits_for_its_end(daemon):
    daemon.deliver(orders(FEBRUARY, row_110=800.0), FEBRUARY)
    daemon.ingest(FEBRUARY)
    instance, at_work = daemon.project.instance, {dg.AssetKey(["features", "buying"])}
    run = instance.add_run(dg.DagsterRun(job_name="other", status=dg.DagsterRunStatus.STARTED, asset_selection=at_work))
    made = daemon.rest()
    assert made["buying"] == once(FEBRUARY)
    assert made["last"] == once(FEBRUARY, MARCH, APRIL, MAY)
    instance.report_run_failed(run, "ended")
    assert daemon.rest()["buying"] == once(MARCH)


def test_nothing_of_a_drop_that_failed_its_gate_is_used_and_the_next_one_waits_for_it(daemon):
    daemon.deliver(orders(JUNE, row_3=-1.0), JUNE)
    daemon.deliver(orders(JULY), JULY)
    daemon.ingest(JUNE)
    assert daemon.rest() == {view: {} for view in VIEWS}
    daemon.ingest(JULY)
    assert daemon.rest() == {view: {} for view in VIEWS}
    assert {JUNE, JULY}.isdisjoint(daemon.lake.partitions("orders/validated", "_drop"))
    daemon.deliver(orders(JUNE), JUNE)
    daemon.ingest(JUNE)
    assert daemon.rest() == {view: once(JUNE, JULY) for view in VIEWS}
    assert daemon.differing("buying", "orders/validated") == 0
    assert daemon.differing("turnover", "turnover") == 0


def test_a_broken_correction_reaches_nothing(daemon):
    daemon.deliver(orders(JUNE, row_3=-1.0, row_100=900.0), JUNE)
    daemon.ingest(JUNE)
    assert daemon.rest() == {view: {} for view in VIEWS}
    assert daemon.differing("buying", "orders/validated") == 0
