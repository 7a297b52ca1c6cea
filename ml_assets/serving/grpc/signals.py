"""What is done first when a process is told to end."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


def before_ending(call: Callable[[], object]) -> None:
    """Call something as soon as a signal tells this process to end, before what handles that signal now.

    Outside of the main thread, to which no signal comes, and where nothing handles a signal, nothing changes.

    Args:
        call: runs between any two steps of the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ENDING:
        handled = signal.getsignal(number)
        if callable(handled):
            signal.signal(number, _both(call, handled))


def _both(call: Callable[[], object], handled: Callable[[int, FrameType | None], object]):
    def handle(number: int, frame: FrameType | None) -> None:
        call()
        handled(number, frame)

    return handle
