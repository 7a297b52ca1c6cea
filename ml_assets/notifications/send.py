"""A notice on its way to every channel."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_chain, wait_fixed

from ml_assets.notifications.channel import Channel
from ml_assets.notifications.errors import NotSent
from ml_assets.notifications.notice import Notice

# Seconds to wait after the first and after the second attempt; the third is the last.
PAUSES_S = (1.0, 3.0)

_log = logging.getLogger(__name__)


def notify(channels: Sequence[Channel], notice: Notice, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Send to all channels at once, each up to three times; a channel that fails does not stop the others.

    All at once, since a sensor's tick must end within a minute and one silent receiver takes half of it.

    Returns:
        One line per channel that failed, in the channels' order and without secrets. Each is logged as an error.
    """
    if not channels:
        return []
    with ThreadPoolExecutor(len(channels)) as pool:
        outcomes = list(pool.map(lambda channel: _failure(channel, notice, sleep), channels))
    failures = [failure for failure in outcomes if failure is not None]
    for failure in failures:
        _log.error(failure)
    return failures


def attempt_once(channel: Channel, notice: Notice) -> str | None:
    """Send to one channel, once, for what is tried again later in any case; return why it was not sent, without
    secrets. It is logged as an error."""
    try:
        channel.send(notice)
    except Exception as error:  # noqa: BLE001 - any channel, any fault; its words may hold a secret, its type does not
        reason = str(error) if isinstance(error, NotSent) else type(error).__name__
        _log.error("%s: the %s notice %r was not sent: %s", channel.name, notice.kind, notice.headline, reason)
        return reason
    return None


def _failure(channel: Channel, notice: Notice, sleep: Callable[[float], None]) -> str | None:
    retrying = Retrying(
        stop=stop_after_attempt(len(PAUSES_S) + 1),
        wait=wait_chain(*map(wait_fixed, PAUSES_S)),
        retry=retry_if_exception(_may_pass),
        sleep=sleep,
        reraise=True,
    )
    try:
        retrying(channel.send, notice)
    except Exception as error:  # noqa: BLE001 - any channel, any fault; its words may hold a secret, its type does not
        reason = str(error) if isinstance(error, NotSent) else type(error).__name__
    else:
        return None
    attempts = retrying.statistics["attempt_number"]
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return f"{channel.name}: the {notice.kind} notice {notice.headline!r} was not sent in {tries}: {reason}"


def _may_pass(error: BaseException) -> bool:
    """Return whether another attempt could help; a fault that no channel knows gets another attempt."""
    return error.again if isinstance(error, NotSent) else isinstance(error, Exception)
