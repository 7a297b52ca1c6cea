"""A guide as its tests read it: blocks of declarations that ship, and commands in the order in which they are given."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_assets_tests.processes import OWN, run

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")
"""What a block begins with that is a file."""


@dataclass(frozen=True)
class Guide:
    """A guide to a use case that ships.

    Attributes:
        page: the guide.
        declared: the folder of the use case's declarations.
    """

    page: Path
    declared: Path

    def blocks(self, language: str) -> list[str]:
        """Return the blocks of a language, in order."""
        text = self.page.read_text()
        return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)

    def files(self) -> list[tuple[str, str]]:
        """Return the blocks that are files of a project, in order: name and text."""
        return re.findall(r"^```\w+ title=\"(.+?)\"\n(.*?)^```$", self.page.read_text(), flags=re.MULTILINE | re.DOTALL)

    def ships(self, declaration: str) -> bool:
        """Return whether a declaration stands in one that ships, but for comments and empty lines."""
        wanted = _lines(declaration)
        shipped = [_lines(path.read_text()) for path in self.declared.rglob("defs.yaml")]
        return any(wanted == lines[i : i + len(wanted)] for lines in shipped for i in range(len(lines)))

    def follow(self, folder: Path, *, forked: bool = True) -> tuple[Path, dict[str, str]]:
        """Give every command of the guide, beginning in a folder, and write every file whose path its block begins
        with; return where that ends, and what each command printed.

        Args:
            forked: whether commands are processes of their own, as users give them; False for one whose tests go on in
                this process, which then loads once what both use.
        """
        here, printed = folder, {}
        for language, block in BLOCK.findall(self.page.read_text()):
            if named := FILE.match(block):
                (here / named[1]).parent.mkdir(parents=True, exist_ok=True)
                (here / named[1]).write_text(block)
                continue
            for command in block.splitlines() if language == "sh" else ():
                if command.startswith("cd "):
                    here = here / command.removeprefix("cd ")
                    continue
                printed[command] = (_give if forked else _give_here)(command, here)
        return here, printed

    def execute(self) -> dict[str, Any]:
        """Execute every block of Python that is no file, in order and in the working directory; return its names."""
        names: dict[str, Any] = {}
        for block in self.blocks("python"):
            if not FILE.match(block):
                exec(compile(block, self.page.name, "exec"), names)
        return names


def _give(command: str, here: Path) -> str:
    program, *arguments = shlex.split(command)
    if program == "python":
        done = subprocess.run([sys.executable, *arguments], cwd=here, capture_output=True, text=True, timeout=120)
    else:
        done = run(program, *arguments, cwd=here, timeout=1500, COLUMNS=200)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _give_here(command: str, here: Path) -> str:
    program, *arguments = shlex.split(command)
    if program != "ml-assets":
        return _give(command, here)
    from ml_assets.cli import app

    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile("w+") as printed:
        patch.chdir(here)
        patch.syspath_prepend(here)
        for name in [name for name in before if name.startswith(OWN)]:
            patch.delenv(name)
        patch.setenv("COLUMNS", "200")
        try:
            with redirect_stdout(printed), pytest.raises(SystemExit) as end:
                app(arguments, prog_name=program)
        finally:
            os.environ.clear()
            os.environ.update(before)
        printed.seek(0)
        output = printed.read()
    assert not end.value.code, f"{command}\n{output}"
    return output


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
