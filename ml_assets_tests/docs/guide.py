"""A guide as its tests read it: blocks of declarations that ship, and commands in the order in which they are given."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from ml_assets_tests.processes import run


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

    def ships(self, declaration: str) -> bool:
        """Return whether a declaration stands in one that ships, but for comments and empty lines."""
        wanted = _lines(declaration)
        shipped = [_lines(path.read_text()) for path in self.declared.rglob("defs.yaml")]
        return any(wanted == lines[i : i + len(wanted)] for lines in shipped for i in range(len(lines)))

    def follow(self, folder: Path) -> tuple[Path, dict[str, str]]:
        """Give every command of the guide, beginning in a folder; return where that ends, and what each printed."""
        here, printed = folder, {}
        for command in "".join(self.blocks("sh")).splitlines():
            if command.startswith("cd "):
                here = here / command.removeprefix("cd ")
                continue
            done = run(*shlex.split(command), cwd=here, COLUMNS=200)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            printed[command] = done.stdout
        return here, printed


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
