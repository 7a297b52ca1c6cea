"""Conditions tick by tick, on a small shop of empty assets that are wired as the components wire theirs.

orders/raw - orders/validated -+- sales, prices (one step) - features/sales - returns/predictions - returns/report
rates/raw - rates/validated ---+                                              /
shops/raw - shops/validated ---+                       returns/champion -----+
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

from ml_assets.components import conditions
from ml_assets.components.metadata.drop_checks import results_by_drop
from ml_assets.components.partitions import SINGLE_RUN
from ml_assets.components.stages import (
    FEATURE,
    SCORING,
    SOURCE,
    STAGE,
    STATIC_SOURCE,
    TABLE,
    TRAINING,
)

pytestmark = pytest.mark.slow

MONTHLY = dg.TimeWindowPartitionsDefinition(start="2024-01", end="2024-07", fmt="%Y-%m", cron_schedule="0 0 1 * *")
JANUARY, FEBRUARY, MARCH, APRIL = "2024-01", "2024-02", "2024-03", "2024-04"
HISTORY = [JANUARY, FEBRUARY]

STATIC = ["shops/raw", "shops/validated"]
RAW = ["orders/raw", "rates/raw"]
GATES = ["orders/validated", "rates/validated"]
TABLES = ["sales", "prices"]
INGESTED = [*RAW, *GATES, *TABLES, "features/sales"]
SCORES = ["returns/predictions", "returns/report"]
CHAMPION = "returns/champion"


def key(name):
    return dg.AssetKey(name.split("/"))


def spec(name, stage, deps=(), partitions=MONTHLY, condition=None, **more):
    return dg.AssetSpec(
        key(name), deps=[key(dep) for dep in deps], tags={STAGE: stage}, partitions_def=partitions,
        automation_condition=condition, **more,
    )  # fmt: skip


@dataclass
class Shop:
    """The shop's assets, the instance that they are on, and the cursor of its automation sensor."""

    instance: dg.DagsterInstance | None = None
    broken: set[str] = field(default_factory=set)
    meanwhile: dict = field(default_factory=dict)
    cursor: object = None

    def __post_init__(self):
        together = conditions.follow_together(MONTHLY, map(key, TABLES), map(key, [*GATES, "shops/validated"]))
        follow = conditions.follow_inputs
        self.definitions = dg.Definitions(
            [
                self.step(
                    spec(
                        "shops/raw",
                        STATIC_SOURCE,
                        partitions=None,
                        condition=conditions.REFRESH_WHEN_STALE,
                        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24)),
                    )
                ),
                self.gate("shops", STATIC_SOURCE, None),
                *(self.step(spec(f"{name}/raw", SOURCE)) for name in ("orders", "rates")),
                *(self.gate(name, SOURCE, MONTHLY) for name in ("orders", "rates")),
                self.step(
                    spec("sales", TABLE, GATES, condition=together, skippable=True),
                    spec("prices", TABLE, ["shops/validated"], condition=together, skippable=True),
                ),
                self.step(spec("features/sales", FEATURE, TABLES, condition=follow(MONTHLY))),
                self.step(
                    spec(
                        CHAMPION,
                        TRAINING,
                        ["features/sales"],
                        None,
                        conditions.retrain_when_stale(key(CHAMPION)),
                        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=30)),
                    )
                ),
                self.step(
                    spec(SCORES[0], SCORING, [CHAMPION, "sales", "features/sales"], condition=conditions.SCORE_DROPS)
                ),
                self.step(spec(SCORES[1], SCORING, [SCORES[0], CHAMPION], condition=follow(MONTHLY))),
            ]
        )
        self.job = self.definitions.resolve_implicit_global_asset_job_def()

    def open(self, instance, cursor=None):
        """Go over to another instance, with nothing broken."""
        self.instance, self.cursor = instance, cursor
        self.broken.clear()
        self.meanwhile.clear()
        return self

    def step(self, *specs):
        @dg.multi_asset(name="__".join(specs[0].key.path), specs=specs, backfill_policy=SINGLE_RUN)
        def made():
            name = specs[0].key.to_user_string()
            self.meanwhile.pop(name, lambda: None)()
            if name in self.broken:
                raise ValueError(f"{name} is broken")
            for one in specs:
                yield dg.MaterializeResult(asset_key=one.key)

        return made

    def gate(self, source, stage, partitions):
        validated, condition = key(f"{source}/validated"), conditions.follow_inputs(partitions)

        @dg.multi_asset(
            name=f"{source}__gate",
            specs=[
                spec(f"{source}/{table}", stage, [f"{source}/raw"], partitions, condition)
                for table in ("validated", "quarantine")
            ],
            check_specs=[dg.AssetCheckSpec("contract", asset=validated, blocking=True, partitions_def=partitions)],
            backfill_policy=SINGLE_RUN,
        )
        def gate(context):
            yield dg.MaterializeResult(asset_key=validated)
            yield dg.MaterializeResult(asset_key=key(f"{source}/quarantine"))
            passed = f"{source}/validated" not in self.broken
            result = dg.AssetCheckResult(asset_key=validated, check_name="contract", passed=passed)
            if partitions is None:
                yield result
            else:
                yield from results_by_drop(context, dict.fromkeys(context.partition_keys, result))

        return gate

    def run(self, names, *drops):
        """A run over some assets, drops from first to last; failing steps are what the tests are about."""
        ends = {f"dagster/asset_partition_range_{end}": drops[i] for end, i in (("start", 0), ("end", -1)) if drops}
        one = {"partition_key": drops[0]} if len(drops) == 1 else {}
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        selected = [key(name) for name in with_neighbours(names)]
        job = self.job if one else self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=selected, instance=self.instance, raise_on_error=False, run_config=quiet,
            tags={} if one else ends, **one,
        )  # fmt: skip

    def tick(self):
        """What a tick of the sensor asks for: drop -> names; None stands for an asset that is not cut."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        asked = {}
        for asset in self.definitions.resolve_asset_graph().get_all_asset_keys():
            for drop in result.get_requested_partitions(asset):
                asked.setdefault(drop, set()).add(asset.to_user_string())
        return asked

    def follow(self):
        """The runs that a tick asks for, or the next one, since what was asked for last is left alone for a tick."""
        asked = self.tick() or self.tick()
        for drop, names in asked.items():
            self.run(names, *([drop] if drop else []))
        return asked


def with_neighbours(names):
    """The names with all that their steps make beside them."""
    quarantine = {name.replace("validated", "quarantine") for name in names}
    return sorted(set(names) | quarantine | (set(TABLES) if set(TABLES) & set(names) else set()))


def made_from(*names):
    return set(with_neighbours(names))


AFTER_ORDERS = made_from("orders/validated", *TABLES, "features/sales", *SCORES)
AFTER_RATES = made_from("rates/validated", *TABLES, "features/sales", *SCORES)


@contextmanager
def copy_of(instance):
    """An instance in memory that holds what another one holds."""
    with dg.DagsterInstance.ephemeral() as copy:
        for storage in ("run_storage", "event_log_storage"):
            connections = (getattr(one, storage)._held_conn.connection.dbapi_connection for one in (instance, copy))
            source, target = connections
            source.backup(target)
        copy.event_log_storage._storage_id = instance.event_log_storage._storage_id
        yield copy


@pytest.fixture(scope="module")
def shop():
    return Shop()


@pytest.fixture
def empty(shop):
    """Nothing is materialized, and the sensor has had its first tick."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert shop.open(instance).tick() == {}
        yield shop


@pytest.fixture(scope="module")
def filled(shop):
    """January and February are history that the champion has learnt from, March is scored; no tick yet."""
    with dg.DagsterInstance.ephemeral() as instance:
        shop.open(instance)
        shop.run(STATIC)
        shop.run(INGESTED, *HISTORY)
        shop.run([CHAMPION])
        shop.run([*INGESTED, *SCORES], MARCH)
        yield instance


@pytest.fixture(scope="module")
def first_cursor(shop, filled):
    """Where the sensor stands after its first tick on the filled home."""
    with copy_of(filled) as instance:
        assert shop.open(instance).tick() == {}
        return shop.cursor


@pytest.fixture
def full(shop, filled):
    with copy_of(filled) as instance:
        yield shop.open(instance)


@pytest.fixture
def watched(shop, filled, first_cursor):
    """A copy of the filled home after the first tick."""
    with copy_of(filled) as instance:
        yield shop.open(instance, first_cursor)


def test_the_first_tick_on_a_full_home_asks_for_nothing(full):
    assert full.tick() == {}
    assert full.tick() == {}


def test_a_new_drop_is_followed_to_the_end_in_one_tick_and_once(watched):
    watched.run(RAW, APRIL)
    assert watched.follow() == {APRIL: AFTER_ORDERS | AFTER_RATES}
    assert watched.tick() == {}
    assert watched.tick() == {}


def test_nothing_is_asked_for_while_the_run_has_not_started(watched):
    watched.run(RAW, APRIL)
    assert watched.tick() == {APRIL: AFTER_ORDERS | AFTER_RATES}
    assert watched.tick() == {}


def test_tables_wait_for_every_source_of_the_drop(watched):
    watched.run(["orders/raw"], APRIL)
    assert watched.follow() == {APRIL: made_from("orders/validated")}
    assert watched.tick() == {}
    watched.run(["rates/raw"], APRIL)
    assert watched.follow() == {APRIL: AFTER_RATES}
    assert watched.tick() == {}


def test_a_failed_gate_holds_everything_back_until_the_drop_is_corrected(watched):
    watched.broken.add("orders/validated")
    watched.run(RAW, APRIL)
    watched.follow()
    assert watched.instance.get_materialized_partitions(key("sales")) == {JANUARY, FEBRUARY, MARCH}
    assert watched.tick() == {}
    # Nor does another input get it past the gate.
    watched.run(["rates/raw"], APRIL)
    assert watched.follow() == {APRIL: made_from("rates/validated")}
    assert watched.tick() == {}
    watched.broken.clear()
    watched.run(["orders/raw"], APRIL)
    assert watched.follow() == {APRIL: AFTER_ORDERS}
    assert APRIL in watched.instance.get_materialized_partitions(key("returns/report"))
    assert watched.tick() == {}


def test_a_gate_that_passes_when_run_by_hand_lets_the_drop_go_on(watched):
    watched.broken.add("orders/validated")
    watched.run(RAW, APRIL)
    watched.follow()
    watched.broken.clear()
    watched.run(["orders/validated"], APRIL)
    assert watched.follow() == {APRIL: AFTER_ORDERS - made_from("orders/validated")}
    assert watched.tick() == {}


def test_a_later_drop_passes_one_that_is_held_back(watched):
    watched.broken.add("orders/validated")
    watched.run(RAW, APRIL)
    watched.follow()
    watched.broken.clear()
    watched.run(RAW, "2024-05")
    assert watched.follow() == {"2024-05": AFTER_ORDERS | AFTER_RATES}
    assert watched.tick() == {}


def test_a_corrected_drop_is_followed_in_its_partition_alone(watched):
    watched.run(["orders/raw"], MARCH)
    assert watched.follow() == {MARCH: AFTER_ORDERS}
    assert watched.tick() == {}


def test_a_corrected_drop_of_history_is_rebuilt_but_not_scored_by_the_champion_that_knows_it(watched):
    watched.run(["orders/raw"], JANUARY)
    assert watched.follow() == {JANUARY: AFTER_ORDERS - set(SCORES)}
    assert watched.tick() == {}


def test_a_late_drop_is_scored(watched):
    watched.run(RAW, "2024-05")
    watched.follow()
    watched.run(RAW, APRIL)
    assert watched.follow() == {APRIL: AFTER_ORDERS | AFTER_RATES}


def test_a_scoring_that_failed_is_tried_once_more(watched):
    watched.broken.add("returns/predictions")
    watched.run(RAW, APRIL)
    watched.follow()
    assert watched.follow() == {APRIL: set(SCORES)}
    assert watched.tick() == {}
    assert watched.tick() == {}
    watched.broken.clear()
    watched.run(["orders/raw"], APRIL)
    assert watched.follow() == {APRIL: AFTER_ORDERS}
    assert watched.tick() == {}


def test_a_drop_corrected_between_a_request_and_the_next_tick_is_followed_again(watched):
    watched.run(["orders/raw"], MARCH)
    watched.follow()
    watched.run(["orders/raw"], MARCH)
    assert watched.follow() == {MARCH: AFTER_ORDERS}
    assert watched.tick() == {}


def test_a_tick_during_the_run_asks_for_nothing(watched):
    seen = []
    watched.meanwhile["features/sales"] = lambda: seen.append(watched.tick())
    watched.run(RAW, APRIL)
    watched.follow()
    assert seen == [{}]
    assert watched.tick() == {}


def test_what_ends_while_a_tick_is_under_way_is_not_asked_for_again(watched, monkeypatch):
    seen, read = [], CachingInstanceQueryer.prefetch_asset_records

    def end_after(queryer, keys):
        read(queryer, keys)
        (run,) = watched.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        data = StepMaterializationData(dg.AssetMaterialization(key("returns/report"), partition=APRIL))
        made = DagsterEvent("ASSET_MATERIALIZATION", run.job_name, event_specific_data=data)
        watched.instance.report_dagster_event(made, run.run_id)

    def two_ticks():
        seen.append(watched.tick())
        with monkeypatch.context() as patched:
            patched.setattr(CachingInstanceQueryer, "prefetch_asset_records", end_after)
            seen.append(watched.tick())

    watched.meanwhile["returns/report"] = two_ticks
    watched.run(RAW, APRIL)
    watched.follow()
    assert seen == [{}, {}]
    assert watched.tick() == {}
    assert watched.tick() == {}


def test_a_drop_corrected_while_it_is_worked_on_is_followed_afterwards(watched):
    seen = []

    def correct():
        watched.run(["orders/raw"], APRIL)
        seen.append(watched.tick() or watched.tick())

    watched.meanwhile["features/sales"] = correct
    watched.run(RAW, APRIL)
    watched.follow()
    # Gate and tables are done and can go again; the rest is still at work on the version before.
    again = made_from("orders/validated", *TABLES)
    assert seen == [{APRIL: again}]
    watched.run(again, APRIL)
    assert watched.follow() == {APRIL: AFTER_ORDERS - again}
    assert watched.tick() == {}


def test_drops_that_come_together_are_all_followed(watched):
    watched.run(RAW, APRIL, "2024-05")
    assert watched.follow() == {APRIL: AFTER_ORDERS | AFTER_RATES, "2024-05": AFTER_ORDERS | AFTER_RATES}
    assert watched.tick() == {}
    watched.run(["orders/raw"], JANUARY, FEBRUARY, MARCH)
    asked = watched.follow()
    assert asked == {drop: AFTER_ORDERS - (set(SCORES) if drop in HISTORY else set()) for drop in (*HISTORY, MARCH)}
    assert watched.tick() == {}


def test_one_bad_drop_of_several_is_held_back_alone(watched):
    watched.broken.add("orders/validated")
    watched.run(["orders/raw"], APRIL)
    watched.follow()
    watched.broken.clear()
    watched.run(["orders/raw"], "2024-05")
    watched.follow()
    watched.run(["rates/raw"], APRIL, "2024-05")
    assert watched.follow() == {APRIL: made_from("rates/validated"), "2024-05": AFTER_RATES}
    assert watched.tick() == {}


def test_a_static_source_is_followed_by_its_gate_but_history_is_not_made_again(watched):
    watched.run(["shops/raw"])
    assert watched.follow() == {None: made_from("shops/validated")}
    assert watched.tick() == {}


def test_a_failed_gate_of_a_static_source_holds_new_drops_back(watched):
    watched.broken.add("shops/validated")
    watched.run(["shops/raw"])
    watched.follow()
    watched.run(RAW, APRIL)
    assert watched.follow() == {APRIL: made_from(*GATES)}
    watched.broken.clear()
    watched.run(["shops/raw"])
    assert watched.follow() == {None: made_from("shops/validated")}
    assert watched.follow() == {APRIL: (AFTER_ORDERS | AFTER_RATES) - made_from(*GATES)}
    assert watched.tick() == {}


def test_a_new_champion_does_not_score_history_again(watched):
    watched.run([CHAMPION])
    assert watched.tick() == {}
    assert watched.tick() == {}


def test_drops_from_before_the_first_champion_stay_unscored(empty):
    empty.run(STATIC)
    for drop in HISTORY:
        empty.run(RAW, drop)
    asked = empty.follow()
    assert asked == {drop: (AFTER_ORDERS | AFTER_RATES) - set(SCORES) for drop in HISTORY}
    empty.run([CHAMPION])
    assert empty.tick() == {}
    empty.run(RAW, MARCH)
    assert empty.follow() == {MARCH: AFTER_ORDERS | AFTER_RATES}


def test_nothing_follows_a_lifecycle_on_the_command_line(empty):
    empty.run(STATIC)
    empty.run(INGESTED, *HISTORY)
    empty.run([CHAMPION])
    assert empty.tick() == {}
    empty.run([*INGESTED, *SCORES], MARCH)
    assert empty.tick() == {}
    empty.run(RAW, APRIL)
    assert empty.follow() == {APRIL: AFTER_ORDERS | AFTER_RATES}


def test_tables_wait_for_a_static_source_that_never_came(empty):
    empty.run(RAW, JANUARY)
    assert empty.follow() == {JANUARY: made_from(*GATES)}
    assert empty.tick() == {}
    empty.run(STATIC)
    assert empty.follow()[JANUARY] == {*TABLES, "features/sales"}


def set_freshness(shop, name, state):
    """What the freshness daemon writes when an asset's state changes."""
    change = FreshnessStateChange(
        key=key(name),
        new_state=state,
        previous_state=FreshnessState.UNKNOWN,
        state_change_timestamp=datetime.now(UTC).timestamp(),
    )
    shop.instance._report_runless_asset_event(change)


def test_a_static_source_that_goes_stale_is_asked_for_once(watched):
    set_freshness(watched, "shops/raw", FreshnessState.WARN)
    assert watched.tick() == {}
    set_freshness(watched, "shops/raw", FreshnessState.FAIL)
    assert watched.follow() == {None: {"shops/raw"} | made_from("shops/validated")}
    assert watched.tick() == {}
    set_freshness(watched, "shops/raw", FreshnessState.PASS)
    assert watched.tick() == {}
    set_freshness(watched, "shops/raw", FreshnessState.FAIL)
    assert watched.tick() == {None: {"shops/raw"} | made_from("shops/validated")}


def test_a_static_source_that_stays_stale_is_not_asked_for_on_every_tick(watched):
    watched.broken.add("shops/raw")
    set_freshness(watched, "shops/raw", FreshnessState.FAIL)
    assert watched.follow() == {None: {"shops/raw"} | made_from("shops/validated")}
    assert [watched.tick(), watched.tick()] == [{}, {}]


def test_a_static_source_that_is_stale_from_the_start_is_asked_for_once(full):
    set_freshness(full, "shops/raw", FreshnessState.FAIL)
    assert full.follow() == {None: {"shops/raw"} | made_from("shops/validated")}
    assert full.tick() == {}


def test_a_stale_champion_is_trained_again_once(watched):
    set_freshness(watched, CHAMPION, FreshnessState.FAIL)
    assert watched.follow() == {None: {CHAMPION}}
    assert [watched.tick(), watched.tick()] == [{}, {}]
