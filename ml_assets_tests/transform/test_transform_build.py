import os
from pathlib import Path
from textwrap import dedent

import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.transform.build import build_models
from ml_assets.transform.project import DbtFailed, DbtProject

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

FILES = {
    "dbt_project.yml": """
        name: shop
        version: "1.0"
        config-version: 2
        profile: ml_assets
        model-paths: [models]
        models:
          shop:
            good: {marts: {+materialized: external}, staging: {+materialized: view}}
            broken: {+materialized: external}
    """,
    "models/sources.yml": """
        version: 2
        sources:
          - name: lake
            config: {plugin: delta}
            tables:
              - name: orders
                config: {delta_table_path: "{{ env_var('ML_ASSETS_LAKE', '') }}/orders/validated"}
    """,
    "models/good/staging/stg_orders.sql": "select id, shop, amount from {{ source('lake', 'orders') }}",
    "models/good/marts/turnover.sql": """
        select shop, sum(amount) as turnover from {{ ref('stg_orders') }} group by shop order by shop
    """,
    "models/good/marts/behind.sql": "select shop from {{ ref('turnover') }}",
    "models/good/schema.yml": """
        version: 2
        models:
          - name: stg_orders
            columns: [{name: id, data_tests: [unique]}]
          - name: turnover
            columns:
              - {name: shop, data_tests: [unique]}
              - name: turnover
                data_tests: [{not_null: {config: {severity: warn}}}]
    """,
    "models/broken/wrong.sql": "select no_such_column from {{ source('lake', 'orders') }}",
}


@pytest.fixture
def write_project(tmp_path):
    def write(**changes):
        folder = tmp_path / "dbt"
        for name, text in {**FILES, **changes}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(dedent(text).strip() + "\n")
        (folder / "profiles.yml").write_text((REPOSITORY / "dbt_project/profiles.yml").read_text())
        return DbtProject(folder, tmp_path / "state", str(tmp_path / "lake"))

    return write


@pytest.fixture
def project(write_project):
    """Over a lake that has the source's table."""
    project = write_project()
    store_orders(project, (1, "a", 1.0))
    return project


def store_orders(project, *rows):
    orders = pl.DataFrame(rows, schema={"id": pl.Int64, "shop": pl.String, "amount": pl.Float64}, orient="row")
    Lake(project.lake).replace("orders/validated", orders)


def build(project, tmp_path, select="path:models/good"):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return build_models(project, select, scratch)


def test_models_are_built_from_the_newest_lake_tables_into_parquet_files(project, tmp_path):
    store_orders(project, (1, "a", 1.0), (2, "a", 2.0), (3, "b", 4.0))
    report = build(project, tmp_path)
    assert [model.name for model in report.models] == ["stg_orders", "turnover", "behind"]
    staged, turnover, _ = report.models
    assert staged.path is None
    assert turnover.path == tmp_path / "scratch/turnover.parquet"
    assert pl.read_parquet(turnover.path).rows() == [("a", 3.0), ("b", 4.0)]
    assert "sum(amount) as turnover" in turnover.compiled_sql
    assert "{{" not in turnover.compiled_sql
    assert turnover.seconds >= 0
    assert {(test.unique_id.split(".")[2], test.passed, test.failures) for test in report.tests} == {
        ("unique_stg_orders_id", True, 0),
        ("unique_turnover_shop", True, 0),
        ("not_null_turnover_turnover", True, 0),
    }


def test_a_second_build_in_the_same_process_reads_the_tables_anew(project, tmp_path):
    assert pl.read_parquet(build(project, tmp_path).models[1].path).rows() == [("a", 1.0)]
    store_orders(project, (1, "a", 1.0), (2, "c", 5.0))
    assert pl.read_parquet(build(project, tmp_path).models[1].path).rows() == [("a", 1.0), ("c", 5.0)]


def test_a_failed_test_counts_the_bad_rows_and_holds_back_what_lies_behind_it(project, tmp_path):
    store_orders(project, (1, "a", 1.0), (1, "b", 2.0), (1, "b", 2.0), (2, "b", 2.0))
    report = build(project, tmp_path)
    assert [model.name for model in report.models] == ["stg_orders"]
    (test,) = report.tests
    assert (test.unique_id.split(".")[2], test.passed, test.failures) == ("unique_stg_orders_id", False, 1)
    assert "1" in test.message


def test_a_failed_test_that_only_warns_holds_nothing_back(project, tmp_path):
    store_orders(project, (1, "a", None), (2, "b", 2.0))
    report = build(project, tmp_path)
    assert [model.name for model in report.models] == ["stg_orders", "turnover", "behind"]
    failed = [test for test in report.tests if not test.passed]
    assert [(test.unique_id.split(".")[2], test.failures) for test in failed] == [("not_null_turnover_turnover", 1)]


def test_a_model_that_cannot_be_built_is_one_error_with_its_name_and_reason(project, tmp_path):
    with pytest.raises(DbtFailed, match=r"dbt could not build wrong: .*no_such_column"):
        build(project, tmp_path, "path:models/broken")


def test_a_source_table_that_is_not_in_the_lake_is_an_error_that_names_it(write_project, tmp_path):
    with pytest.raises(DbtFailed, match="orders/validated"):
        build(write_project(), tmp_path)


def test_after_a_build_a_project_can_be_parsed_whose_lake_has_no_tables_yet(project, tmp_path):
    build(project, tmp_path)
    other = DbtProject(project.folder, tmp_path / "other state", str(tmp_path / "empty lake"))
    assert "model.shop.turnover" in other.manifest().nodes


def test_an_empty_selection_is_an_error(project, tmp_path):
    with pytest.raises(DbtFailed, match="'path:models/nothing' matches no model"):
        build(project, tmp_path, "path:models/nothing")


def test_a_project_that_cannot_be_parsed_is_an_error_with_dbts_words(project, write_project):
    write_project(**{"models/good/marts/behind.sql": "select shop from {{ ref('elsewhere') }}"})
    with pytest.raises(DbtFailed, match="elsewhere"):
        project.manifest()


def test_the_manifest_is_parsed_once_per_state_of_the_files(project, write_project, monkeypatch):
    parses = []
    invoke = DbtProject.invoke
    monkeypatch.setattr(DbtProject, "invoke", lambda *given, **named: parses.append(1) or invoke(*given, **named))
    assert project.manifest() is project.manifest()
    assert len(parses) == 1
    changed = write_project(**{"models/good/marts/behind.sql": "select 1 as one from {{ ref('turnover') }}"})
    assert "one" in changed.manifest().nodes["model.shop.behind"].raw_code
    assert len(parses) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"models/good/marts/behind.sql": "select shop as place from {{ ref('turnover') }}"},
        {"models/good/schema.yml": "version: 2\n"},
        {"models/good/marts/more.sql": "select 1 as one"},
        {"seeds/list.csv": "a\n1\n"},
        {"models/good/marts/more.py": "def model(dbt, session): return dbt.ref('turnover')"},
        {"models/good/more.yaml": "version: 2\n"},
        {"macros/cents.sql": "{% macro cents(x) %}{{ x }} * 100{% endmacro %}"},
        {"packages.yml": "packages: []"},
        {"dbt_packages/other/macros/m.sql": "{% macro m() %}1{% endmacro %}"},
        {"models/good/words.md": "{% docs shop %}The shop.{% enddocs %}"},
    ],
    ids=["sql", "yml", "new model", "seed", "python", "yaml", "macro", "packages", "package", "doc block"],
)
def test_the_fingerprint_changes_with_every_file_that_decides_the_result(write_project, change):
    before = write_project().fingerprint()
    assert write_project().fingerprint() == before
    assert write_project(**change).fingerprint() != before


def test_the_fingerprint_changes_with_the_lake_but_not_with_notes(write_project):
    project = write_project()
    before = project.fingerprint()
    noted = write_project(**{"README.md": "about", "logs/dbt.log": "ran", "target/x.json": "{}", ".user.yml": "id: 1"})
    assert noted.fingerprint() == before
    assert DbtProject(project.folder, project.state, "s3://elsewhere").fingerprint() != project.fingerprint()


def test_the_fingerprint_changes_with_a_variable_that_the_project_reads(write_project, monkeypatch):
    project = write_project(**{"models/good/marts/behind.sql": "select '{{ env_var('SHOP_CITY', 'Ulm') }}' as city"})
    monkeypatch.delenv("SHOP_CITY", raising=False)
    before = project.fingerprint()
    monkeypatch.setenv("SHOP_CITY", "Bonn")
    assert project.fingerprint() != before


def test_dbt_leaves_the_environment_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_LAKE", "mine")
    monkeypatch.delenv("ML_ASSETS_DBT_SCRATCH", raising=False)
    with pytest.raises(DbtFailed):
        DbtProject(tmp_path, tmp_path, "another").invoke(["parse"], scratch=tmp_path)
    assert os.environ["ML_ASSETS_LAKE"] == "mine"
    assert "ML_ASSETS_DBT_SCRATCH" not in os.environ
