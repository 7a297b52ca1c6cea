"""What a command works with, and what it leaves behind."""

import os

import pytest

from ml_assets.commands.session import Session
from ml_assets.settings import read_settings


@pytest.fixture
def project(tmp_path, monkeypatch, bare_environment):  # noqa: ARG001
    (tmp_path / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "shop"\n')
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path


def test_a_home_lies_in_the_project_and_what_is_started_later_looks_there(project):
    session = Session()
    home = session.open_home()
    assert home.root == project / ".ml_assets"
    assert not home.root.exists(), "to look makes nothing"
    assert session.settings.home == read_settings().home == home.root


def test_a_home_that_is_not_there_is_borrowed_and_leaves_no_trace(project):
    session = Session()
    with session.borrow_home() as home:
        assert home.root.exists()
        assert session.settings.home == read_settings().home == home.root
        (home.root / "coherent").write_text("what loading leaves")
    assert not home.root.exists()
    assert sorted(path.name for path in project.iterdir()) == ["pyproject.toml", "shop"]


def test_a_home_that_is_there_is_used(project):
    (project / ".ml_assets").mkdir()
    with Session().borrow_home() as home:
        assert home.root == project / ".ml_assets"
    assert home.root.exists()


def test_a_named_project_is_handed_down_to_what_is_started(project, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    session = Session(project / "shop")
    assert session.open_home().root == project / ".ml_assets"
    assert os.environ["ML_ASSETS_PROJECT"] == str(project / "shop")
    assert session.project.folder == project
