import subprocess

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
    monkeypatch.setattr(code_version, "PROJECT", tmp_path)
    return tmp_path


def fingerprint():
    return code_version.code_fingerprint.__wrapped__()


def commit():
    code_version.code_fingerprint.cache_clear()
    return code_version.code_commit.__wrapped__()


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


def test_the_commit_says_whether_files_differ_from_it(project):
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    head = git(project, "rev-parse", "HEAD")
    assert commit() == head
    (project / "ml_assets/a.py").write_text("second")
    assert commit() == f"{head}+changes"


def test_outside_of_git_the_files_stand_for_the_commit(project, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert commit() == f"files-{fingerprint()}"
    code_version.code_fingerprint.cache_clear()
