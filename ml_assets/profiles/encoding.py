"""Numbers as bytes: counts in as few as the greatest of them needs, the first byte of each, then the second of each."""

import zlib

import numpy as np

from ml_assets.profiles.distinct import BITS

MOST_ROWS = 2**BITS - 1
"""Rows that a profile can count."""
_PLAIN, _DEFLATED = 0, 1


class Writer:
    """Bytes that are added one after another."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, content: bytes) -> None:
        """Add bytes of a known length."""
        self._parts.append(content)

    def short(self, *numbers: int) -> None:
        """Add whole numbers from 0 to 65535."""
        self._parts.extend(number.to_bytes(2, "little") for number in numbers)

    def counts(self, counts: np.ndarray) -> None:
        """Add whole numbers, shape (n,) with n < 2^16, each from 0 to ``MOST_ROWS``.

        Raises:
            OverflowError: one is larger.
        """
        greatest = int(counts.max(initial=0))
        if greatest > MOST_ROWS:
            raise OverflowError(f"a profile counts {MOST_ROWS:,} rows at most, not {greatest:,}")
        width = -(-greatest.bit_length() // 8)
        layers = np.ascontiguousarray(counts, "<u8").view(np.uint8).reshape(-1, 8)[:, :width].T
        self.short(len(counts), width)
        self._parts.append(layers.tobytes())

    def floats(self, *values: float) -> None:
        """Add floats of 64 bits."""
        self._parts.append(np.array(values, "<f8").tobytes())

    def text(self, text: str) -> None:
        """Add text of at most 65535 bytes."""
        content = text.encode()
        self.short(len(content))
        self._parts.append(content)

    def to_bytes(self) -> bytes:
        """Return all of it, deflated where that is shorter."""
        plain = b"".join(self._parts)
        deflated = zlib.compress(plain, 6)
        return bytes([_DEFLATED]) + deflated if len(deflated) < len(plain) else bytes([_PLAIN]) + plain


class Reader:
    """What a ``Writer`` has written, read in the same order."""

    def __init__(self, content: bytes) -> None:
        self._bytes = zlib.decompress(content[1:]) if content[:1] == bytes([_DEFLATED]) else content[1:]
        self._at = 0

    def raw(self, length: int) -> bytes:
        """Read so many bytes.

        Raises:
            ValueError: there are fewer.
        """
        part = self._bytes[self._at : self._at + length]
        if len(part) < length:
            raise ValueError("these bytes are no profile: they end too early")
        self._at += length
        return part

    def short(self) -> int:
        """Read a whole number from 0 to 65535."""
        return int.from_bytes(self.raw(2), "little")

    def counts(self) -> np.ndarray:
        """Read counts, int64."""
        size, width = self.short(), self.short()
        layers = np.frombuffer(self.raw(size * width), np.uint8).reshape(width, size)
        words = np.zeros((size, 8), np.uint8)
        words[:, :width] = layers.T
        return words.view("<i8").ravel().astype(np.int64)

    def floats(self, size: int) -> list[float]:
        """Read so many floats."""
        return np.frombuffer(self.raw(8 * size), "<f8").tolist()

    def text(self) -> str:
        """Read text."""
        return self.raw(self.short()).decode()
