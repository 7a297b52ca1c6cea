"""What the server tells about itself: a line for each request, as text or JSON. Never a body, a header or a key."""

import logging
import os
import re
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

LogFormat = Literal["json", "text"]
FORMATS = ("json", "text")

access = logging.getLogger("ml_assets.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that has been answered or refused.

    Attributes:
        route: the path as it is declared, such as ``/v2/models/{model}/infer``.
        model: the served model that answered; empty where there is none.
        version: its version; empty where none was asked.
        role: champion, canary, or empty.
        milliseconds: from the request's head to the answer's.
        key: name of the key that let the request in; empty for none.
        parent: the W3C ``traceparent`` that came with the request; empty without one.
    """

    request_id: str
    method: str
    route: str
    status: int
    milliseconds: float
    model: str = ""
    version: str = ""
    role: str = ""
    key: str = ""
    parent: str = ""


def request_id(given: str) -> str:
    """Return the id that a client gave in ``x-request-id``, or a new one where none that can be logged is given."""
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def telling(status: int) -> bool:
    """Return whether a request with this status is logged."""
    return access.isEnabledFor(_level(status))


def _level(status: int) -> int:
    return logging.ERROR if status >= 500 else logging.INFO


def write_line(finished: Finished) -> None:
    """Log a request: as information, or as an error where the server failed."""
    level = _level(finished.status)
    if access.isEnabledFor(level):
        access.log(level, "%s %s %d", finished.method, finished.route, finished.status, extra={"finished": finished})


class JsonLines(logging.Formatter):
    """A record as one JSON object: time (UTC), level, logger, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        finished = getattr(record, "finished", None)
        if finished is not None:
            line |= {
                "request_id": finished.request_id,
                "method": finished.method,
                "route": finished.route,
                "status": finished.status,
                "milliseconds": round(finished.milliseconds, 3),
                "model": finished.model,
                "version": finished.version,
                "role": finished.role,
                **({"key": finished.key} if finished.key else {}),
            }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return orjson.dumps(line, default=str).decode()


class TextLines(logging.Formatter):
    """A record as a line to read; a request's with model, version and milliseconds."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Render the line, with what is known about the request."""
        finished, line = getattr(record, "finished", None), super().formatMessage(record)
        if finished is None:
            return line
        who = " ".join(part for part in (finished.model, finished.version, finished.role, finished.key) if part)
        return f"{line} {finished.milliseconds:.1f} ms {who} {finished.request_id}".rstrip()


def logging_settings(form: str) -> dict[str, Any]:
    """Return settings for ``logging.config.dictConfig``: everything to standard error.

    As JSON every request has its line. Text is for a person at a terminal, who is shown the requests that failed.

    Raises:
        ValueError: the format is neither json nor text.
    """
    if form not in FORMATS:
        raise ValueError(f"log format {form!r} must be one of {', '.join(FORMATS)}")
    lines = JsonLines if form == "json" else TextLines
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": lines}},
        "handlers": {"errors": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"level": "WARNING", "handlers": ["errors"]},
        "loggers": {
            "ml_assets": {"level": "INFO"},
            "uvicorn": {"level": "INFO"},
            access.name: {"level": "INFO" if form == "json" else "ERROR"},
        },
    }
