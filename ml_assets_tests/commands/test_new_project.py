from pathlib import Path

import pytest

from ml_assets.code_version import NoProject, current_project
from ml_assets.commands.new_project import create_project
from ml_assets.project import load_current

PROJECT = Path(__file__).parents[2]


def test_a_new_project_loads_from_its_own_folder(tmp_path, monkeypatch, unused_home):
    create_project(tmp_path / "bakery")
    monkeypatch.setenv("ML_ASSETS_HOME", str(unused_home))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "bakery" / "bakery")
    load_current.cache_clear()
    assert current_project().package == "bakery"
    assert current_project().workspace.read_text().count("bakery.definitions") == 1
    assert load_current().resolve_all_asset_specs() == []
    load_current.cache_clear()


def test_outside_of_any_project_there_is_none_unless_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML_ASSETS_PROJECT", raising=False)
    with pytest.raises(NoProject, match="no project here: `ml-assets init NAME` begins one"):
        current_project()
    monkeypatch.setenv("ML_ASSETS_PROJECT", str(PROJECT / "docs"))
    assert current_project().folder == PROJECT


@pytest.mark.parametrize(("name", "why"), [("Bakery", "lower case"), ("2go", "begin with a letter")])
def test_a_name_that_is_no_package_is_refused(tmp_path, name, why):
    with pytest.raises(ValueError, match=why):
        create_project(tmp_path / name)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    create_project(tmp_path / "bakery")
    (tmp_path / "bakery" / "workspace.yaml").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        create_project(tmp_path / "bakery")
    assert (tmp_path / "bakery" / "workspace.yaml").read_text() == "mine"
