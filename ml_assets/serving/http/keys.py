"""API keys, which the server knows by their digests alone."""

import hashlib
import hmac
from collections.abc import Sequence

from ml_assets.serving.errors import BadRequest

_EMPTY = hashlib.sha256(b"").hexdigest()


def require_key(authorization: str, digests: Sequence[str]) -> None:
    """Refuse a request without a known key.

    Args:
        authorization: the header of that name; empty for none.
        digests: SHA-256 of the keys, in hex; empty lets everybody in.

    Raises:
        BadRequest: the key is missing or not known (401).
    """
    if not digests:
        return
    scheme, _, key = authorization.partition(" ")
    digest = hashlib.sha256(key.strip().encode()).hexdigest() if scheme.lower() == "bearer" else ""
    # Every key is compared, so that the time tells nothing.
    if sum(hmac.compare_digest(digest, known) for known in digests) == 0:
        raise BadRequest("give an API key: Authorization: Bearer KEY", 401)


def hashed_keys(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of SHA-256 digests.

    Raises:
        ValueError: one is no SHA-256 in hex, or that of an empty key; or there is nothing but commas.
    """
    keys = tuple(key.strip().lower() for key in text.split(",") if key.strip())
    if text and not keys:
        raise ValueError("ML_ASSETS_API_KEYS holds no digest: unset it to let everybody in")
    if _EMPTY in keys:
        raise ValueError(f"ML_ASSETS_API_KEYS: entry {keys.index(_EMPTY) + 1} is the digest of an empty key")
    if wrong := [key for key in keys if len(key) != 64 or set(key) - set("0123456789abcdef")]:
        raise ValueError(
            f"ML_ASSETS_API_KEYS: entry {keys.index(wrong[0]) + 1} is no SHA-256 in hex: give the digests of the keys, "
            "such as from `printf %s KEY | sha256sum`, never the keys"
        )
    return keys
