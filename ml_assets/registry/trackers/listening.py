"""Trackers beside MLflow: what one of them fails at is noted, and training goes on."""

import logging
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Listener = TypeVar("Listener")
Result = TypeVar("Result")

_logger = logging.getLogger(__name__)
_LONGEST = 250
"""Characters of an error that are kept: MLflow's tags take some more."""


class Listening(Generic[Listener]):
    """Listeners by the name of their tracker. The first failure of a listener is its last call.

    Args:
        note: keeps failures: one line by the name of the tracker.
    """

    def __init__(self, listeners: Mapping[str, Listener], note: Callable[[Mapping[str, str]], object]) -> None:
        self._listeners = dict(listeners)
        self._note = note

    def call(self, act: Callable[[Listener], Result]) -> dict[str, Result]:
        """Call every listener; return the results of those that did not fail."""
        results: dict[str, Result] = {}
        failed: dict[str, str] = {}
        for name, listener in list(self._listeners.items()):
            try:
                results[name] = act(listener)
            except Exception as error:  # a tracker's failure, whatever it is, must not lose a training
                _logger.exception("tracker %s failed and is left out from here on", name)
                failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
                del self._listeners[name]
        if failed:
            self._note(failed)
        return results
