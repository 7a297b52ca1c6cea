"""Implementations of one interface by name: the built-in ones, and those that installed packages add."""

import logging
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_CLASS, _INSTANCE = "a class", "an instance of a class"


class ExtensionError(ValueError):
    """A name that no implementation bears, that two bear, or whose implementation cannot be loaded."""


class Extensions(Generic[T]):
    """The implementations of one extension point, loaded when they are first used.

    Args:
        group: entry point group under which an installed package adds its own, such as `ml_assets.model_kinds`.
        noun: what one implementation is called in messages, such as `model kind`.
        built_in: `module:attribute` of each implementation that comes with the platform, by name.
        interface: `module:Class` that what a package adds has to extend, imported with the first one; empty for none.
        takes_classes: whether subclasses of the interface are registered, or instances of them.
    """

    def __init__(
        self, group: str, noun: str, built_in: Mapping[str, str], interface: str = "", *, takes_classes: bool = False
    ) -> None:
        self.group = group
        self.noun = noun
        self._interface = interface
        self._takes_classes = takes_classes
        self._built_in = {name: EntryPoint(name, address, group) for name, address in built_in.items()}
        self._loaded: dict[str, T] = {}
        self._left_out: set[str] = set()

    def names(self) -> list[str]:
        """Return every name that can be used, built-in ones first, then alphabetically."""
        return list(dict.fromkeys([*self._built_in, *sorted(self._installed), *self._loaded]))

    def built_in_names(self) -> list[str]:
        """Return the names that come with the platform."""
        return list(self._built_in)

    def loadable(self) -> dict[str, T]:
        """Return every implementation by its name, for what looks through all of them.

        An installed one that cannot be loaded is left out with an error in the log: it concerns those who name it,
        and they are told by `get`.
        """
        implementations: dict[str, T] = {}
        for name in self.names():
            try:
                implementations[name] = self.get(name)
            except ExtensionError as error:
                if name in self._built_in:
                    raise
                if name not in self._left_out:
                    _logger.error("%s; it is left out", error)
                    self._left_out.add(name)
        return implementations

    def register(self, name: str, implementation: T) -> None:
        """Add an implementation in this process.

        Raises:
            ExtensionError: the name is taken.
        """
        if name in self.names():
            raise ExtensionError(f"{self.noun} '{name}' is registered already")
        self._loaded[name] = implementation

    def unregister(self, name: str) -> None:
        """Remove what `register` added."""
        del self._loaded[name]

    def get(self, name: str) -> T:
        """Return the implementation of this name.

        Raises:
            ExtensionError: nothing bears the name, or what bears it cannot be loaded.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> T:
        entry_point = self._built_in.get(name) or self._installed.get(name)
        if entry_point is None:
            raise ExtensionError(
                f"unknown {self.noun} '{name}': known are {', '.join(self.names())}; "
                f"an installed package adds one by an entry point of the group '{self.group}'"
            )
        failure = f"{self.noun} '{name}' cannot be loaded from '{entry_point.value}' ({_origin(entry_point)})"
        if not entry_point.attr:
            raise ExtensionError(f"{failure}: it names a module; write module:attribute")
        try:
            implementation = entry_point.load()
        except Exception as error:  # whatever the module of another package raises while it is imported
            raise ExtensionError(f"{failure}: {type(error).__name__}: {error}") from error
        misfit = None if entry_point.dist is None else self._misfit(implementation)
        if misfit is not None:
            raise ExtensionError(f"{failure}: {misfit}")
        return implementation

    def _misfit(self, implementation: Any) -> str | None:
        """Return in what an implementation is not what the extension point takes, if so."""
        if not self._interface:
            return None
        interface = EntryPoint("", self._interface, "").load()
        wanted = self._interface.replace(":", ".")
        is_class = isinstance(implementation, type)
        if not (issubclass(implementation, interface) if is_class else isinstance(implementation, interface)):
            return f"it does not extend {wanted}"
        if is_class != self._takes_classes:
            return f"it is {_CLASS if is_class else _INSTANCE}; register {_CLASS if self._takes_classes else _INSTANCE}"
        lacking = sorted(getattr(implementation, "__abstractmethods__", ()))
        return f"it lacks {', '.join(lacking)}, which {wanted} asks for" if is_class and lacking else None

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        installed: dict[str, EntryPoint] = {}
        for entry_point in entry_points(group=self.group):
            taken = self._built_in.get(entry_point.name) or installed.get(entry_point.name)
            if taken is not None and taken.value != entry_point.value:
                raise ExtensionError(
                    f"{self.noun} '{entry_point.name}' is named twice: by {_origin(taken)} ('{taken.value}') "
                    f"and by {_origin(entry_point)} ('{entry_point.value}'); uninstall one of them"
                )
            installed[entry_point.name] = entry_point
        return {name: each for name, each in installed.items() if name not in self._built_in}


def _origin(entry_point: EntryPoint) -> str:
    return f"package {entry_point.dist.name}" if entry_point.dist is not None else "ml_assets"
