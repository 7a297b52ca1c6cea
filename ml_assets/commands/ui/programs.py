"""Programs of this environment that a command becomes."""

import shutil
import sys
from pathlib import Path
from typing import NoReturn

import typer


def run_program(program: str, *arguments: str) -> NoReturn:
    """Run a program of this environment and exit with its status; it and all that it starts end with this process.

    Raises:
        RuntimeError: it is not installed.
    """
    from ml_assets.commands.ui.together import run_together

    beside = Path(sys.executable).parent / program
    path = str(beside) if beside.exists() else shutil.which(program)
    if path is None:
        raise RuntimeError(f"{program} is not installed beside {sys.executable}: run `make install`")
    sys.stdout.flush()
    raise typer.Exit(run_together([path, *arguments]))
