"""Which requests are let in."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ml_assets.serving.access.allowance import Allowance, shared_number
from ml_assets.serving.access.key_file import Key, KeyFile
from ml_assets.serving.access.scopes import SCOPES, Scope, allows
from ml_assets.serving.errors import BadRequest

log = logging.getLogger(__name__)

NOBODY = ""
"""The name in whose stead a request is made that needs no key."""

_EVERYTHING = frozenset(SCOPES)
_CHALLENGE = {"www-authenticate": "Bearer"}

_READ_AGAIN = 5
"""Seconds after which a client may try again whose key may be in a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class _Known:
    name: str
    scopes: frozenset[Scope]
    allowance: Allowance | None = None


def credential(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return what a request gives as `authorization`; empty for nothing. The same given twice is given once.

    Args:
        headers: of the request, names in lower case, whatever transport they came by.

    Raises:
        BadRequest: it gives two that differ, or one that is no ASCII (401).
    """
    given = None
    for name, value in headers:  # a loop, as this is done for each request and a set would take three times as long
        if name == b"authorization":
            if given is not None and value != given:
                raise BadRequest("there are two different Authorization headers: give one", 401, _CHALLENGE)
            given = value
    if given is None:
        return ""
    if not given.isascii():
        raise BadRequest("the Authorization header must be ASCII, as API keys are", 401, _CHALLENGE)
    return given.decode("ascii")


class Admission:
    """Lets requests in by their keys; reads the file of keys again when it has changed.

    Args:
        digests: SHA-256 of keys that may do everything, in hex; they bear the names `environment-1` and so on.
        file: further keys; None for none.
        shared: folder in which processes that serve together count each key's requests, and remember that keys are
            needed, for one that starts again while the file is gone; None for one process.
        patient: whether a file that is broken at first keeps everybody out until it is right, as for a process that
            starts again beside others, instead of being an error.
        clock: nanoseconds, only forward.

    Raises:
        ValueError: the file is not as it must be.
        OSError: it cannot be read.
    """

    def __init__(
        self,
        digests: Sequence[str] = (),
        file: KeyFile | None = None,
        *,
        shared: Path | None = None,
        patient: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._always = {
            bytes.fromhex(digest): _Known(f"environment-{number}", _EVERYTHING)
            for number, digest in enumerate(digests, 1)
        }
        self._file = file
        self._shared = shared
        self._clock = clock
        self._state: tuple[int, ...] | None = None
        self._allowances: dict[tuple[str, int], Allowance] = {}
        self._known = self._always
        self._marker = None if shared is None else shared / "keys_required"
        self.required = bool(digests) or (self._marker is not None and self._marker.exists())
        self._fault = ""
        self._read_once = False
        if file is not None:
            self._begin(file, patient)

    def admit(self, authorization: str, scope: Scope) -> str:
        """Return the name of the key that a request bears; NOBODY where none is needed.

        Args:
            authorization: what `credential` gives.
            scope: what the request's route needs.

        Raises:
            BadRequest: the key is missing or not known (401), does not allow this (403), has made too many requests
                (429), or may be of a file that cannot be read (503).
        """
        if not self.required:
            return NOBODY
        scheme, _, given = authorization.partition(" ")
        # Looked up by its digest: the time that takes tells something of the digest at most, and nobody can make a key
        # to a digest.
        known = self._known.get(sha256(given.strip().encode()).digest()) if scheme.lower() == "bearer" else None
        if known is None and given and self._fault and not self._read_once:
            message = "the server cannot read its file of keys, and so lets nobody in by them: its log says why"
            raise BadRequest(message, 503, {"retry-after": str(_READ_AGAIN)})
        if known is None:
            raise BadRequest("give an API key: Authorization: Bearer KEY", 401, _CHALLENGE)
        if not allows(known.scopes, scope):
            has = ", ".join(each for each in SCOPES if each in known.scopes)
            raise BadRequest(f"the key {known.name!r} does not allow this: it needs {scope!r}, and has {has}", 403)
        if known.allowance is not None and (seconds := known.allowance.take(self._clock())):
            message = f"the key {known.name!r} has made too many requests: try again in {seconds} s"
            raise BadRequest(message, 429, {"retry-after": str(seconds)})
        return known.name

    def look(self) -> None:
        """Read the file of keys again if it has changed; one that is broken or gone leaves the keys as they are."""
        if self._file is None:
            return
        try:
            state = self._file.state()
            if state == self._state:
                return
            if state is None:
                raise ValueError(f"the file of keys {self._file.path} is gone")
            self._read(self._file, state)
        except (ValueError, OSError) as error:
            self._tell(error)
            return
        self._fault = ""
        log.info("%d keys are let in", len(self._known))

    def _begin(self, file: KeyFile, patient: bool) -> None:
        """Read the file for the first time."""
        needed = self._marker is not None and self._marker.exists()
        try:
            state = file.state()
            if state is None and needed:
                raise ValueError(f"the file of keys {file.path} is gone")
            self._read(file, state)
        except (ValueError, OSError) as error:
            # Where keys are known to be needed it is no fault of the start, but of what happened to the file since.
            if not patient and not needed:
                raise
            self._tell(error)

    def _tell(self, error: ValueError | OSError) -> None:
        """Note that the file cannot be read, and log it once; where there is one, keys are needed."""
        message = f"the file of keys cannot be read: {error}" if isinstance(error, OSError) else str(error)
        self._require()
        if message != self._fault:
            self._fault = message
            kept = "the keys that were known are let in" if self._read_once else "nobody is let in until it is right"
            others = ", but for the keys of ML_ASSETS_API_KEYS" if self._always and not self._read_once else ""
            log.error("%s: %s%s", message, kept, others)

    def _read(self, file: KeyFile, state: tuple[int, ...] | None) -> None:
        keys = file.read()
        known = {bytes.fromhex(key.digest): self._known_by(key) for key in keys}
        self._known = {**known, **self._always}
        if state is not None:
            self._read_once = True
            self._require()
        self._state = state

    def _require(self) -> None:
        self.required = True
        if self._marker is not None and not self._marker.exists():
            self._marker.parent.mkdir(parents=True, exist_ok=True)
            self._marker.touch()

    def _known_by(self, key: Key) -> _Known:
        return _Known(key.name, frozenset(key.scopes), self._allowance(key) if key.per_minute else None)

    def _allowance(self, key: Key) -> Allowance:
        """Return the allowance of a key, the same after the file was read again."""
        known = (key.digest, key.per_minute)
        if known not in self._allowances:
            kept = [0] if self._shared is None else shared_number(self._shared, key.digest)
            self._allowances[known] = Allowance(key.per_minute, kept)
        return self._allowances[known]
