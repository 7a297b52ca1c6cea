"""What pages read from: a project's declarations, lake and registry, and Dagster's storage."""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ml_assets.console.stamps import stamp
from ml_assets.lake import Lake
from ml_assets.public.project import Project

if TYPE_CHECKING:
    from ml_assets.console.dagster_storage import DagsterInstance
    from ml_assets.home import Home
    from ml_assets.registry.registry import Registry

Value = TypeVar("Value")

MOST_KEPT = 4096
"""Values that are kept of what was read; those that were not needed for the longest go first."""


@dataclass(frozen=True, slots=True)
class _Kept:
    stamps: tuple[Hashable, ...]
    value: Any


class Stores:
    """Opens what pages read from, and keeps what they made of it until a table changes.

    Args:
        project: declarations, lake and registry, as `ml_assets.open_project` opens them.
        clock: the moment of a request, in UTC.
        home: where Dagster's storage lies; None for none.
    """

    def __init__(self, project: Project, clock: Callable[[], datetime], home: "Home | None" = None) -> None:
        self.project = project
        self.clock = clock
        self.home = home
        self._instance: DagsterInstance | None = None
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._making: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    @property
    def lake(self) -> Lake:
        """The project's tables."""
        return self.project.lake

    @cached_property
    def registry(self) -> "Registry":
        """MLflow's registry; loading it takes seconds, so pages that can do without read the lake instead."""
        return self.project.registry

    def instance(self) -> "DagsterInstance | None":
        """Open Dagster's storage; None where the home has none yet. Loading Dagster takes seconds."""
        from ml_assets.console.dagster_storage import open_instance

        if self._instance is None and self.home is not None:
            self._instance = open_instance(self.home)
        return self._instance

    def read(self, name: Hashable, tables: Sequence[str], make: Callable[[], Value]) -> Value:
        """Return what `make` makes of some tables, made again only when one of them has changed.

        Args:
            name: of what is made, with whatever it depends on beside the tables.
            tables: asset keys of all tables that `make` reads; those that are not there yet count too.
            make: reads them; what it returns is shared by requests and must not be changed.
        """
        with self._lock:
            making = self._making[name]
        with making:  # what several requests need at once is made once
            return self._read(name, tables, make)

    def _read(self, name: Hashable, tables: Sequence[str], make: Callable[[], Value]) -> Value:
        stamps = tuple(stamp(self.lake, table) for table in tables)
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None and kept.stamps == stamps:
                self._kept.move_to_end(name)
                return cast(Value, kept.value)
        value = make()
        with self._lock:
            self._kept[name] = _Kept(stamps, value)
            self._kept.move_to_end(name)
            while len(self._kept) > MOST_KEPT:
                dropped, _ = self._kept.popitem(last=False)
                self._making.pop(dropped, None)
        return value
