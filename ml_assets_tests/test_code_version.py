import shutil
import subprocess
from importlib.metadata import version

import pytest

from ml_assets import code_version


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with one file of each kind."""
    dbt = ("dbt_project/dbt_project.yml", "dbt_project/models/m.sql", "dbt_project/m.yml", "dbt_project/seeds/list.csv")
    for name in ("ml_assets/a.py", "ml_assets/defs/shop/defs.yaml", *dbt):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first")
    (tmp_path / "ml_assets/dbt_project").symlink_to("../dbt_project")
    monkeypatch.setattr(code_version, "PACKAGE", tmp_path / "ml_assets")
    return tmp_path


def fingerprint():
    return code_version.code_fingerprint.__wrapped__()


def code():
    code_version.code_fingerprint.cache_clear()
    return code_version.project_code.__wrapped__()


@pytest.fixture
def own_project(project, tmp_path_factory, monkeypatch):  # noqa: ARG001
    """A user's project beside the checkout, in a repository of its own; the working directory."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "shop"\n')
    (folder / "shop").mkdir()
    (folder / "shop/defs.yaml").write_text("first")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "a project")
    monkeypatch.chdir(folder)
    return folder


def git(project, *arguments):
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    command = ["git", "-C", str(project), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_fingerprint_stays_while_nothing_changes(project):  # noqa: ARG001
    assert fingerprint() == fingerprint()


@pytest.mark.parametrize(
    "name",
    [
        "ml_assets/a.py",
        "ml_assets/defs/shop/defs.yaml",
        "dbt_project/models/m.sql",
        "dbt_project/m.yml",
        "dbt_project/seeds/list.csv",
        "dbt_project/models/m.py",
        "ml_assets/new.py",
    ],
)
def test_the_fingerprint_changes_with_code_and_declarations(project, name):
    before = fingerprint()
    (project / name).write_text("second")
    assert fingerprint() != before


@pytest.mark.parametrize("name", ["dbt/models/m.sql", "dbt/macros/m.sql", "dbt/models/m.yaml", "shop/defs/defs.yaml"])
def test_the_fingerprint_changes_with_a_project_of_its_own(project, name, tmp_path_factory, monkeypatch):  # noqa: ARG001
    own = tmp_path_factory.mktemp("own")
    for file in ("shop/defs/defs.yaml", "dbt/dbt_project.yml", "dbt/models/m.sql"):
        (own / file).parent.mkdir(parents=True, exist_ok=True)
        (own / file).write_text("first")
    (own / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "shop"\n')
    monkeypatch.chdir(own)
    before = fingerprint()
    (own / name).parent.mkdir(parents=True, exist_ok=True)
    (own / name).write_text("second")
    assert fingerprint() != before


def test_a_file_that_moves_changes_the_fingerprint(project):
    before = fingerprint()
    (project / "ml_assets/a.py").rename(project / "ml_assets/b.py")
    assert fingerprint() != before


@pytest.mark.parametrize("name", ["ml_assets/__pycache__/a.pyc", "README.md", "dbt_project/target/log.txt"])
def test_notes_and_caches_do_not_count(project, name):
    before = fingerprint()
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("second")
    assert fingerprint() == before


def test_the_code_is_that_of_the_users_project(project, own_project):
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "the platform")
    assert git(project, "rev-parse", "HEAD") != git(own_project, "rev-parse", "HEAD")
    assert code() == code_version.CodeState(git(own_project, "rev-parse", "HEAD"), changed=False)


@pytest.mark.parametrize("name", ["shop/defs.yaml", "shop/new.yaml", "pyproject.toml"])
def test_the_code_tells_whether_files_differ_from_the_commit(own_project, name):
    head = git(own_project, "rev-parse", "HEAD")
    with (own_project / name).open("a") as file:
        file.write("# more")
    assert code() == code_version.CodeState(head, changed=True)


def test_state_in_the_projects_folder_is_no_change_of_its_code(own_project):
    (own_project / ".ml_assets").mkdir()
    (own_project / ".ml_assets/online.db").write_text("state")
    assert not code().changed


def test_the_platforms_version_is_told_with_its_checkout(project, own_project):  # noqa: ARG001
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "the platform")
    head = git(project, "rev-parse", "HEAD")
    told = code_version.platform_version.__wrapped__
    assert told() == f"{version('ml_assets')} ({head})"
    (project / "ml_assets/a.py").write_text("second")
    assert told() == f"{version('ml_assets')} ({head}, changed)"


def test_an_environment_in_somebody_elses_repository_tells_nothing_of_the_platforms_commit(own_project, monkeypatch):
    installed = own_project / ".venv/lib/site-packages/ml_assets"
    installed.mkdir(parents=True)
    (installed / "a.py").write_text("first")
    monkeypatch.setattr(code_version, "PACKAGE", installed)
    assert code_version.platform_version.__wrapped__() == version("ml_assets")


def test_outside_of_git_the_files_stand_for_the_commit(own_project, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(own_project.parent))
    shutil.rmtree(own_project / ".git")
    assert code() == code_version.CodeState(f"files-{fingerprint()}", changed=False)
    code_version.code_fingerprint.cache_clear()
