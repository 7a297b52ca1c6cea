"""Keys as the server knows them: by their digests alone."""

import hashlib

_EMPTY = hashlib.sha256(b"").hexdigest()
_HEX = frozenset("0123456789abcdef")


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key in hex.

    Keys that `ml-assets keys new` makes are 256 random bits, which nobody finds by trying: a slow hash would only cost
    each request its time.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def is_digest(text: str) -> bool:
    """Return whether a text is a SHA-256 in hex, and not that of an empty key."""
    return len(text) == 64 and _HEX.issuperset(text) and text != _EMPTY


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
    if wrong := [key for key in keys if not is_digest(key)]:
        raise ValueError(
            f"ML_ASSETS_API_KEYS: entry {keys.index(wrong[0]) + 1} is no SHA-256 in hex: give the digests of the keys, "
            "such as from `printf %s KEY | sha256sum`, never the keys"
        )
    return keys
