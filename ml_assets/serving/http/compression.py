"""Bodies that are compressed on their way, by gzip or deflate."""

import zlib

from ml_assets.serving.errors import BadRequest

COMPRESSED_FROM = 8 << 10
"""Bytes of a response from which it is compressed where the client takes that: less fits into a few packets anyway."""

APART_FROM = 64 << 10
"""Bytes of a response from which another thread compresses it, as that takes a millisecond."""

_ACCEPTED = {"gzip": 31, "deflate": zlib.MAX_WBITS}
_ENCODINGS = {**_ACCEPTED, "x-gzip": 31}


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """Return what was compressed.

    Args:
        encoding: value of the header Content-Encoding.
        most: bytes that it may have.

    Raises:
        BadRequest: it is in another encoding (415), not whole or not of its encoding (400), or too large (413).
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    window = _ENCODINGS.get(name)
    if window is None:
        raise BadRequest(f"content-encoding must be gzip or deflate, not {name[:40]!r}", 415)
    if window == zlib.MAX_WBITS and not _has_zlib_header(body):
        window = -zlib.MAX_WBITS  # without the header that belongs there, as some clients send it
    reading = zlib.decompressobj(window)
    try:
        content = reading.decompress(body, most + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not in {name}: {error}") from error
    if len(content) > most:
        raise BadRequest(f"the body is larger than {most} bytes: send fewer rows at once", 413)
    if not reading.eof or reading.unused_data:
        raise BadRequest(f"the body is not whole: its {name} {'goes on' if reading.eof else 'is cut off'}")
    return content


def accepted_encoding(header: str) -> str | None:
    """Return the encoding in which a client takes a response; None to leave it as it is.

    Args:
        header: value of Accept-Encoding.
    """
    accepted = set()
    for each in header.lower().split(","):
        name, _, weight = each.replace(" ", "").partition(";q=")
        if weight.strip("0.") or not weight:
            accepted.add(name)
    return next((name for name in _ACCEPTED if name in accepted), None)


def compress(body: bytes, encoding: str) -> bytes:
    """Compress a response as `accepted_encoding` says, with little effort: it saves most of what can be saved."""
    writing = zlib.compressobj(1, wbits=_ENCODINGS[encoding])
    return writing.compress(body) + writing.flush()


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
