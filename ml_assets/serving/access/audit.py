"""What was done with keys: a line of JSON each, for whoever has to know later."""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

log = logging.getLogger(__name__)

_LONGEST = 4 << 10
"""Bytes of an answer that is kept: that of a push has counts, and names rows that were refused."""


class AuditTrail:
    """Lines that are added to a file, each with one write, so that processes may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def pushed(self, at: int, key: str, request_id: str, path: str, status: int, answer: bytes) -> None:
        """Record a push that was answered or refused.

        Args:
            at: moment of the request, microseconds.
            answer: its body, JSON: with the sequence number from which the facts are known in the store.
        """
        said = {"answer": orjson.Fragment(answer)} if len(answer) <= _LONGEST else {}
        moment = datetime.fromtimestamp(at / 1e6, UTC).isoformat()
        self.record({"at": moment, "key": key, "request_id": request_id, "path": path, "status": status, **said})

    def record(self, line: Mapping[str, Any]) -> None:
        """Add a line; where it cannot be written, it is logged instead."""
        text = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        try:
            if self._descriptor < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            os.write(self._descriptor, text)
        except OSError as error:
            log.error("the audit %s cannot be written, %s: %s", self._path, error.strerror or error, text.decode())

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
