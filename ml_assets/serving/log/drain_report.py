"""When the answers of each model were last written from the spool to the lake: what the process that does it reports,
and the servers read."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

_NAME = "draining.json"

LATE_SECONDS = 600.0
"""How long nothing may be written before a server says that it is not ready."""


class DrainReport:
    """Tells servers of each pass over a spool.

    Args:
        folder: the spool.
        began: microseconds: what fails from the first pass on is counted from then.
    """

    def __init__(self, folder: Path, began: int) -> None:
        self._path = folder / _NAME
        self._last = began
        self._failing: dict[str, int] = {}

    def write(self, failed: Iterable[str], now: int) -> None:
        """Report a pass that has ended.

        Args:
            failed: models whose answers wait.
            now: microseconds.
        """
        self._failing = {model: self._failing.get(model, self._last) for model in failed}
        self._last = now
        made = self._path.with_suffix(f".{os.getpid()}")
        try:
            made.write_bytes(orjson.dumps({"at": now, "failing": self._failing}))
            made.replace(self._path)
        except OSError:
            # A full disk: what is not reported is late by and by, which is what there is to report.
            made.unlink(missing_ok=True)


class DrainWatch:
    """How far the lake is behind what was answered, as servers see it.

    Args:
        clock: microseconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], int]) -> None:
        self._folder = folder
        self._clock = clock
        # What was before this server is not its own lateness.
        self._began = clock()

    def behind(self, models: Iterable[str]) -> dict[str, float]:
        """Return by model the seconds since all of its answers were last written."""
        try:
            report = orjson.loads((self._folder / _NAME).read_bytes())
        except FileNotFoundError:
            report = {"at": 0, "failing": {}}
        now = self._clock()
        written = {model: report["failing"].get(model, report["at"]) for model in models}
        return {model: max(0.0, (now - max(at, self._began)) / 1e6) for model, at in written.items()}

    def fault(self, models: Iterable[str]) -> str:
        """Return why the log is too far behind; empty while it is not."""
        late = {model: seconds for model, seconds in self.behind(models).items() if seconds > LATE_SECONDS}
        if not late:
            return ""
        return (
            f"the answers of {', '.join(sorted(late))} have not been written from the spool {self._folder} to the lake "
            f"for {max(late.values()) / 60:.0f} minutes: see the log of `ml-assets serve`, or try `ml-assets spool`"
        )
