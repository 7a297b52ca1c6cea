"""Notices in the log."""

import logging
from dataclasses import dataclass

from ml_assets.notifications.notice import Notice

_LOGGER = logging.getLogger("ml_assets.notifications")


@dataclass(frozen=True)
class LogChannel:
    """The log. Nothing is below a warning: a process whose logging nobody set up prints warnings and hides the rest."""

    logger: logging.Logger = _LOGGER
    name: str = "log"

    def send(self, notice: Notice) -> None:
        grave = notice.kind == "failure" or (notice.alert is not None and notice.alert.severity == "critical")
        level = logging.ERROR if grave else logging.WARNING
        self.logger.log(level, "%s: %s\n%s", notice.kind, notice.headline, notice.body)
