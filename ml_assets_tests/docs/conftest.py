"""The platform as people install it: a wheel in an environment of its own, where no checkout can be imported."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_assets_tests import processes

PROJECT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"


@dataclass(frozen=True)
class Installed:
    """An environment with the platform's wheel, and with what a command would read left out of its own environment."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def environment(self) -> dict[str, str]:
        ours = ("ML_ASSETS", "DAGSTER", "MLFLOW", "PYTHON", "PYTEST", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**kept, "PATH": f"{self.folder / 'bin'}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}

    def run(self, *command: str | Path, cwd: Path, **environment: str) -> str:
        """Run a command to its end; return what it printed.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            [*map(str, command)],
            cwd=cwd,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
        return "".join(_printed(done))

    def fork(self, program: str, *arguments: str, cwd: Path) -> str:
        """Run a program as ``run`` does, in a process that has imported what it imports; return its stdout."""
        done = processes.run_in(
            program, *arguments, cwd=cwd, environment=self.environment, timeout=400, python=self.python
        )
        return _printed(done)[0]

    def start(self, program: str, *arguments: object, cwd: Path, output: Path) -> processes.Started:
        """Start a program as ``fork`` does, and go on; what it prints is in two files of the folder `output`."""
        return processes.start(
            program, *arguments, cwd=cwd, environment=self.environment, output=output, python=self.python
        )


def _printed(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    """The wheel of this checkout, and the packages of requirements.lock, in a new environment."""
    root = tmp_path_factory.mktemp("installed")
    source, folder = root / "source", root / "environment"
    for name in ("ml_assets", "pyproject.toml", "README.md", "LICENSE"):
        _copy(PROJECT / name, source / name)
    _uv("build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", root, source)
    (wheel,) = root.glob("*.whl")
    # Built from a copy, so that neither the checkout's build/ gets into the wheel nor the build into the checkout.
    shutil.rmtree(source)
    _uv("venv", "--python", sys.executable, folder)
    python = folder / "bin/python"
    _uv(
        *("pip", "install", "--python", python, "--no-deps", "--require-hashes", "--link-mode", _link_mode(root)),
        *("-r", PROJECT / "requirements.lock"),
    )
    _uv("pip", "install", "--python", python, "--no-deps", "--offline", wheel)
    _take_compiled(Path(sysconfig.get_path("purelib")), next(folder.glob("lib/python*/site-packages")))
    return Installed(folder, wheel)


def _uv(*arguments: str | Path) -> None:
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _link_mode(root: Path) -> str:
    """How to install without copying two gigabytes: a file system's own links do not reach beyond it."""
    cache = subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    return "hardlink" if Path(cache).exists() and os.stat(cache).st_dev == os.stat(root).st_dev else "symlink"


def _take_compiled(ours: Path, theirs: Path) -> None:
    """Link the modules that are compiled already: Python uses those whose sources are as they were."""
    if os.stat(ours).st_dev != os.stat(theirs).st_dev:
        return
    for folder, _, files in os.walk(ours):
        target = theirs / Path(folder).relative_to(ours)
        if target.name == "__pycache__" and target.parent.is_dir():
            target.mkdir(exist_ok=True)
            for file in files:
                if not (target / file).exists():
                    os.link(Path(folder) / file, target / file)
