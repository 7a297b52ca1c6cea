"""Which code is running, on which project: the commit, and a fingerprint of the files that decide results."""

import hashlib
import subprocess
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_assets.transform.project import project_files

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout: the folder of pyproject.toml, dagster.yaml and dbt_project."""


@dataclass(frozen=True)
class DeclaringProject:
    """A folder with a ``pyproject.toml`` whose ``[tool.dg.project]`` names the package that declares."""

    folder: Path
    package: str

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace.yaml"


def current_project() -> DeclaringProject:
    """The project that the working directory lies in; the shipped one outside of any."""
    return project_of(Path.cwd())


def project_of(here: Path) -> DeclaringProject:
    """The project that a path lies in; the shipped one outside of any."""
    for folder in (here, *here.parents, PROJECT):
        declared = folder / "pyproject.toml"
        if declared.exists():
            settings = tomllib.loads(declared.read_text()).get("tool", {}).get("dg", {}).get("project", {})
            if "root_module" in settings:
                return DeclaringProject(folder, settings["root_module"])
    raise FileNotFoundError(f"{PROJECT / 'pyproject.toml'} is missing: install ml_assets from its checkout")


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Hash of every source file of the platform and of the project: its package and its dbt projects, 16 digits."""
    digest = hashlib.sha256()
    project = current_project()
    packages = {PROJECT / "ml_assets", project.folder / project.package}
    code = {p for f in packages for p in f.rglob("*") if p.suffix in {".py", ".yaml", ".yml", ".sql"}}
    sql = {p for f in {PROJECT, project.folder} for folder in _dbt_projects(f) for p in project_files(folder)}
    for path in sorted(code | sql):
        digest.update(str(path.relative_to(PROJECT if path.is_relative_to(PROJECT) else project.folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _dbt_projects(folder: Path) -> list[Path]:
    """The dbt projects that lie in a folder or in one of its folders."""
    return [found.parent for form in ("dbt_project.yml", "*/dbt_project.yml") for found in folder.glob(form)]


@lru_cache(maxsize=1)
def code_commit() -> str:
    """The checkout's git commit, with ``+changes`` if files differ from it; the fingerprint outside of git."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (subprocess.CalledProcessError, FileNotFoundError, subprocess.TimeoutExpired):
        return f"files-{code_fingerprint()}"
    return commit + ("+changes" if changes else "")
