"""Every asset as people see it. After a wanted change: UPDATE_SNAPSHOTS=1 pytest ml_assets_tests/test_asset_specs.py"""

import os
from pathlib import Path

import pytest
import yaml

SNAPSHOT = Path(__file__).parent / "asset_specs.yaml"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(tmp_path_factory.mktemp("home")))
        from ml_assets.definitions import build_definitions

        yield build_definitions()


@pytest.fixture(scope="module")
def specs(definitions):
    return sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key.path)


def test_the_assets_are_those_of_the_snapshot(definitions, specs):
    checks = {}
    for key in definitions.resolve_asset_graph().asset_check_keys:
        checks.setdefault(key.asset_key, []).append(key.name)
    seen = {
        spec.key.to_user_string(): {
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "owners": sorted(spec.owners),
            "stage": spec.tags["ml_assets/stage"],
            "partitions": spec.partitions_def.get_partition_keys()[:1] if spec.partitions_def else [],
            "depends_on": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "checks": sorted(checks.get(spec.key, [])),
        }
        for spec in specs
    }
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(yaml.safe_dump(seen, sort_keys=True))
    assert seen == yaml.safe_load(SNAPSHOT.read_text())


def test_every_asset_says_what_it_is_whose_it_is_and_which_code_makes_it(specs):
    for spec in specs:
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name == "flights", spec.key
        assert spec.code_version, spec.key
