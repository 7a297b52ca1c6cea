"""Every asset of the shipped use case as Dagster sees it, compared with the list in asset_specs.yaml.

After a wanted change: `UPDATE_SNAPSHOTS=1 pytest ml_assets_tests/components/test_components_specs.py`,
then read the difference.
"""

import os
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml_assets.code_version import PACKAGE
from ml_assets.components.stages import SERVED, STAGE
from ml_assets.project import load_project

pytestmark = pytest.mark.slow

SNAPSHOT = Path(__file__).parent / "asset_specs.yaml"


@pytest.fixture(scope="module")
def definitions(unused_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(unused_home))
        return load_project(PACKAGE)


@pytest.fixture(scope="module")
def specs(definitions):
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def described(definitions, specs):
    checks = {}
    for key in definitions.resolve_asset_graph().asset_check_keys:
        spec = definitions.resolve_asset_graph().get_check_spec(key)
        checks.setdefault(key.asset_key.to_user_string(), {})[key.name] = "blocking" if spec.blocking else "reporting"
    return {key: _plain(spec, checks.get(key, {})) for key, spec in sorted(specs.items())}


def _plain(spec, checks):
    window = spec.partitions_def
    told = {
        "group": spec.group_name,
        "stage": spec.tags.get("ml_assets/stage"),
        "kinds": sorted(spec.kinds),
        "owners": sorted(spec.owners),
        "code_version": spec.code_version is not None,
        "condition": spec.automation_condition and spec.automation_condition.get_label(),
        "stale_after": spec.freshness_policy and str(spec.freshness_policy.fail_window.to_timedelta()),
        "partitions": None if window is None else f"{window.start:%Y-%m} to {window.end:%Y-%m}, {window.cron_schedule}",
        "depends_on": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "checks": dict(sorted(checks.items())),
    }
    return {name: value for name, value in told.items() if value not in (None, [], {})}


def test_all_assets_are_as_listed(definitions, specs):
    found = described(definitions, specs)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(yaml.safe_dump(found, sort_keys=False, width=120, default_flow_style=None))
    assert found == yaml.safe_load(SNAPSHOT.read_text())


def test_every_asset_has_a_description_an_owner_a_kind_a_group_and_a_code_version(specs):
    assert len(specs) > 30
    incomplete = {
        key: [n for n in ("description", "owners", "kinds", "group_name", "code_version") if not getattr(spec, n)]
        for key, spec in specs.items()
    }
    assert {key: missing for key, missing in incomplete.items() if missing} == {}


def test_every_check_has_a_description(definitions):
    graph = definitions.resolve_asset_graph()
    assert [key for key in graph.asset_check_keys if not graph.get_check_spec(key).description] == []


def test_every_dependency_is_an_asset_of_the_project(specs):
    unknown = {dep.asset_key.to_user_string() for spec in specs.values() for dep in spec.deps} - set(specs)
    assert unknown == set()


@pytest.mark.parametrize(
    ("job", "partitioned"),
    [
        ("flights_ingest", True),
        ("flights_train", False),
        ("flights_drop", True),
        ("flights_online", False),
        ("flights_served", True),
    ],
)
def test_jobs_are_selections_of_stages(definitions, job, partitioned):
    assert (definitions.resolve_job_def(job).partitions_def is not None) == partitioned


def test_no_other_job_fills_the_online_store(definitions):
    for name in ("flights_ingest", "flights_train", "flights_drop"):
        keys = definitions.resolve_job_def(name).asset_layer.selected_asset_keys
        assert {key.path[0] for key in keys} & {"online"} == set()
    kept = definitions.resolve_job_def("flights_online").asset_layer.selected_asset_keys
    assert {key.path[0] for key in kept} == {"online"}
    assert len(kept) == 13


def test_code_versions_change_with_the_declaration():
    from ml_assets.components.declared import declaration_version
    from ml_assets.components.sources.source import Source

    def version(**change):
        declared = {
            "name": "orders",
            "description": "One row per order.",
            "where": {"path": "orders.csv"},
            "contract": "shop.contracts:Orders",
            "key_columns": ["id"],
        }
        return declaration_version(Source(**declared | change))

    assert version() == version()
    assert len({version(), version(key_columns=["id", "line"]), version(max_bad_share=0.1)}) == 3


def test_a_new_month_is_asked_for_from_gate_to_decision_in_one_tick(definitions, specs):
    month = "2013-11"
    static = [spec for spec in specs.values() if spec.partitions_def is None]
    raw = [specs[key] for key in ("flights/raw", "weather/raw")]
    with dg.DagsterInstance.ephemeral() as instance:

        def arrive(arrived, partition=None):
            for spec in arrived:
                instance.report_runless_asset_event(dg.AssetMaterialization(spec.key, partition=partition))

        arrive(static)
        for check in definitions.resolve_asset_graph().asset_check_keys:
            if check.asset_key in {spec.key for spec in static}:
                passed = dg.AssetCheckEvaluation(check.asset_key, check.name, passed=True)
                instance.report_runless_asset_event(passed)
        first = dg.evaluate_automation_conditions(definitions, instance)
        assert first.total_requested == 0
        arrive(raw, month)
        asked = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
        again = dg.evaluate_automation_conditions(definitions, instance, cursor=asked.cursor)
    months = [spec for spec in specs.values() if spec.partitions_def and spec.group_name == "flights"]
    # What was served is gathered when it was, not when a drop comes.
    followed = [spec for spec in months if spec.tags[STAGE] != SERVED]
    per_drop = {spec.key for spec in followed} - {spec.key for spec in raw}
    assert {key for key in (s.key for s in specs.values()) if asked.get_requested_partitions(key)} == per_drop
    assert all(asked.get_requested_partitions(key) == {month} for key in per_drop)
    assert again.total_requested == 0


def test_online_features_follow_their_table_once(definitions, specs):
    whole = [spec for spec in specs.values() if spec.partitions_def is None]
    read_legs = {key for key, spec in specs.items() if key.startswith("online/") and _reads(spec, "flight_legs")}
    assert len(read_legs) == 8
    with dg.DagsterInstance.ephemeral() as instance:

        def arrive(spec, partition=None):
            instance.report_runless_asset_event(dg.AssetMaterialization(spec.key, partition=partition))
            for check in definitions.resolve_asset_graph().asset_check_keys:
                if check.asset_key == spec.key:
                    passed = dg.AssetCheckEvaluation(check.asset_key, check.name, passed=True, partition=partition)
                    instance.report_runless_asset_event(passed)

        for spec in whole:
            arrive(spec)
        tick = dg.evaluate_automation_conditions(definitions, instance)
        asked = []
        arrive(specs["flight_legs"], "2013-10")
        for _ in range(2):
            tick = dg.evaluate_automation_conditions(definitions, instance, cursor=tick.cursor)
            asked.append({k for k, s in specs.items() if k.startswith("online/") and _requested(tick, s)})
    assert asked == [read_legs, set()]


def _reads(spec, table):
    return table in {dep.asset_key.to_user_string() for dep in spec.deps}


def _requested(tick, spec):
    return bool(tick.get_requested_partitions(spec.key))
