"""Browsers that have signed in with a key."""

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

COOKIE = "ml_assets_console"
LASTS = timedelta(hours=12)
MOST = 1000
"""Sessions that are kept; the oldest end first."""

_NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A browser that has signed in.

    Attributes:
        id: random.
        authorization: what its requests are let in by, as of a header.
        until: when it ends.
    """

    id: str
    authorization: str
    until: datetime


class Sessions:
    """Sessions of this process: the cookie bears a random name and its signature, never the key.

    Args:
        clock: the moment of a request, in UTC.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._open: OrderedDict[str, BrowserSession] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, authorization: str) -> str:
        """Begin a session; returns the value of its cookie."""
        session = BrowserSession(secrets.token_urlsafe(24), authorization, self._clock() + LASTS)
        with self._lock:
            self._open[session.id] = session
            while len(self._open) > MOST:
                self._open.popitem(last=False)
        return f"{session.id}.{self._sign('session', session.id)}"

    def find(self, cookie: str | None) -> BrowserSession | None:
        """Return the session of a cookie; None where it is none of ours, or has ended."""
        name, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", name).encode()):
            return None
        session = self._open.get(name)
        if session is not None and session.until <= self._clock():
            self.end(session)
            return None
        return session

    def end(self, session: BrowserSession) -> None:
        """End a session: its cookie opens nothing any more."""
        with self._lock:
            self._open.pop(session.id, None)

    def token(self, session: BrowserSession | None) -> str:
        """Return what a form of the session's pages has to send, and that no other site can know."""
        return self._sign("form", _NOBODY if session is None else session.id)

    def is_token(self, given: str, session: BrowserSession | None) -> bool:
        """Return whether a form sent the session's token."""
        return hmac.compare_digest(given.encode(), self.token(session).encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
