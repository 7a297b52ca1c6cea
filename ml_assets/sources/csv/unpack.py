"""From the delivered archive to the bytes of the one file in it."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from ml_assets.sources.errors import DeliveryFault

_DELIVER_AGAIN = "have it delivered again"
# RuntimeError is what zipfile raises for an encrypted member, NotImplementedError for a foreign method.
_OF_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
_OF_GZIP = (gzip.BadGzipFile, zlib.error, EOFError)


def unzipped(data: bytes) -> bytes:
    """Return the bytes of the one file in a zip.

    Raises:
        DeliveryFault: the archive is truncated or corrupt, or holds no file or several.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(_only_member(archive))
    except _OF_ZIP as error:
        raise DeliveryFault(
            "corrupt archive", f"the zip of {len(data)} bytes is damaged or cut off ({error})", _DELIVER_AGAIN
        ) from error


def gunzipped(data: bytes) -> bytes:
    """Return the bytes that a gzip holds; raises DeliveryFault where it is truncated or corrupt."""
    try:
        return gzip.decompress(data)
    except _OF_GZIP as error:
        raise DeliveryFault(
            "corrupt archive",
            f"the gzip of {len(data)} bytes is damaged or cut off ({error})",
            _DELIVER_AGAIN,
        ) from error


@contextmanager
def unzipping(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Open the one file in a zip to read it bit by bit; raise DeliveryFault as `unzipped` does."""
    try:
        with zipfile.ZipFile(stream) as archive, archive.open(_only_member(archive)) as file:
            yield cast(BinaryIO, file)
    except _OF_ZIP as error:
        raise DeliveryFault("corrupt archive", f"the zip is damaged or cut off ({error})", _DELIVER_AGAIN) from error


@contextmanager
def gunzipping(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Open what a gzip holds to read it bit by bit; raise DeliveryFault as `gunzipped` does."""
    try:
        with gzip.open(stream) as file:
            yield cast(BinaryIO, file)
    except _OF_GZIP as error:
        raise DeliveryFault("corrupt archive", f"the gzip is damaged or cut off ({error})", _DELIVER_AGAIN) from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5]) or "none"
        raise DeliveryFault("corrupt archive", f"the zip must hold one file, it holds {names}", "zip the one CSV file")
    return members[0]
