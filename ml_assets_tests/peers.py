"""The programs of other projects that ours is held beside, in the environment that `make peers` makes."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Peers:
    """The environment that `make peers` makes."""

    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def environment(self, home: Path) -> dict[str, str]:
        """Nothing of ours, telemetry off, and what they keep in a home below ``home``."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        off = {"BENTOML_DO_NOT_TRACK": "True", "FEAST_USAGE": "False", "DO_NOT_TRACK": "1"}
        return kept | off | {"BENTOML_HOME": str(home / "bentoml"), "HOME": str(home), "OMP_NUM_THREADS": "1"}

    def run(self, name: str, *arguments: str, cwd: Path, timeout: int = 300) -> str:
        done = subprocess.run(
            [self.program(name), *map(str, arguments)], cwd=cwd, env=self.environment(cwd), capture_output=True,
            text=True, check=False, timeout=timeout,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout


def find_peers(patience: float = 900) -> Peers:
    """Return their environment; where they are required, it may still be being installed: wait up to ``patience`` s."""
    folder = Path(__file__).parents[1] / ".venv-peers"
    required = os.environ.get("ML_ASSETS_REQUIRE_PEERS")
    given_up = time.monotonic() + (patience if required else 0)
    while not (folder / "installed").exists():
        if time.monotonic() > given_up:
            missing = f"no environment of peers in {folder}: run `make peers`"
            (pytest.fail if required else pytest.skip)(missing)
        time.sleep(1)
    return Peers(folder)
