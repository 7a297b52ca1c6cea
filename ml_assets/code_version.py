"""Which code is running, on which project: the commit, and a fingerprint of the files that decide results."""

import hashlib
import subprocess
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_assets.transform.project import project_files

PACKAGE = Path(__file__).resolve().parent
"""The installed platform: its modules and the files that come with them."""


@dataclass(frozen=True)
class DeclaringProject:
    """A folder with a ``pyproject.toml`` whose ``[tool.dg.project]`` names the package that declares."""

    folder: Path
    package: str

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace.yaml"


class NoProject(LookupError):
    """No project was named, and the working directory lies in none."""


def current_project(named: Path | None = None) -> DeclaringProject:
    """Find the project that a folder lies in, else the one that the working directory lies in.

    Raises:
        NoProject: there is none.
    """
    project = project_of((named or Path()).resolve())
    if project is None:
        where = f"in {named}" if named else "here"
        raise NoProject(
            f"no project {where}: `ml-assets init NAME` begins one, and `ml-assets --project FOLDER` names one that is "
            "elsewhere"
        )
    return project


def project_of(here: Path) -> DeclaringProject | None:
    """Return the project that a path lies in: the nearest folder above whose ``pyproject.toml`` names a root module.

    Raises:
        ValueError: a ``pyproject.toml`` on the way is no TOML.
    """
    for folder in (here, *here.parents):
        declared = folder / "pyproject.toml"
        if declared.exists():
            try:
                settings = tomllib.loads(declared.read_text(encoding="utf-8"))
            except tomllib.TOMLDecodeError as error:
                raise ValueError(f"{declared}: no TOML: {error}") from None
            named = settings.get("tool", {}).get("dg", {}).get("project", {}).get("root_module")
            if named:
                return DeclaringProject(folder, named)
    return None


@lru_cache(maxsize=4)
def code_fingerprint(here: Path | None = None) -> str:
    """Hash every source file of the platform and of a project: its package and its dbt projects; 16 digits.

    Args:
        here: a folder in the project; the working directory unless given.
    """
    digest = hashlib.sha256()
    project = project_of((here or Path()).resolve())
    own = PACKAGE if project is None else project.folder
    packages = {PACKAGE, *([] if project is None else [own / project.package])}
    code = {p for f in packages for p in f.rglob("*") if p.suffix in {".py", ".yaml", ".yml", ".sql"}}
    sql = {p for f in {PACKAGE, own} for folder in _dbt_projects(f) for p in project_files(folder)}
    for path in sorted(code | sql):
        digest.update(str(path.relative_to(PACKAGE.parent if path.is_relative_to(PACKAGE) else own)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _dbt_projects(folder: Path) -> list[Path]:
    """Return the dbt projects that lie in a folder or in one of its folders."""
    return [file.parent for form in ("dbt_project.yml", "*/dbt_project.yml") for file in folder.glob(form)]


@dataclass(frozen=True)
class CodeState:
    """The code in a folder.

    Attributes:
        commit: git commit; ``files-`` and the fingerprint outside of git.
        changed: whether files differ from the commit, or declarations are in none.
    """

    commit: str
    changed: bool


@lru_cache(maxsize=4)
def project_code(here: Path | None = None) -> CodeState:
    """Return the code of the project that a folder lies in, the working directory unless given; outside of any
    project, that of the platform."""
    project = project_of((here or Path()).resolve())
    return _code_in(PACKAGE.parent, PACKAGE.name) if project is None else _code_in(project.folder, project.package)


@lru_cache(maxsize=1)
def platform_version() -> str:
    """Return the version of ml_assets that runs, with its checkout's commit where it is one: ``0.1.0 (3f2a...,
    changed)``."""
    from importlib.metadata import version

    # Installed, the package may lie in an environment inside somebody else's repository.
    if not _is_tracked(PACKAGE):
        return version("ml_assets")
    code = _code_in(PACKAGE.parent, PACKAGE.name)
    return f"{version('ml_assets')} ({code.commit}{', changed' if code.changed else ''})"


def _is_tracked(folder: Path) -> bool:
    """Return whether a git repository holds files of this folder; False where there is no git."""
    command = ["git", "-C", str(folder), "ls-files", "--error-unmatch", "."]
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _code_in(folder: Path, package: str) -> CodeState:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        edited = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        # What a project's own folder holds besides, such as its state, decides nothing.
        return CodeState(commit, bool(edited or git("status", "--porcelain", "--", package)))
    except (subprocess.CalledProcessError, FileNotFoundError, subprocess.TimeoutExpired):
        return CodeState(f"files-{code_fingerprint(folder)}", changed=False)
