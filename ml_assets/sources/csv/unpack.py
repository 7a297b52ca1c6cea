"""From the delivered archive to the bytes of the one file in it."""

import gzip
import io
import zipfile
import zlib

from ml_assets.sources.errors import DeliveryFault

_DELIVER_AGAIN = "have it delivered again"


def unzipped(data: bytes) -> bytes:
    """Return the bytes of the one file in a zip.

    Raises:
        DeliveryFault: the archive is truncated or corrupt, or holds no file or several.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                names = ", ".join(member.filename for member in members[:5]) or "none"
                raise DeliveryFault(
                    "corrupt archive", f"the zip must hold one file, it holds {names}", "zip the one CSV file"
                )
            return archive.read(members[0])
    # RuntimeError is what zipfile raises for an encrypted member, NotImplementedError for a foreign method.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DeliveryFault(
            "corrupt archive", f"the zip of {len(data)} bytes is damaged or cut off ({error})", _DELIVER_AGAIN
        ) from error


def gunzipped(data: bytes) -> bytes:
    """Return the bytes that a gzip holds; raises DeliveryFault where it is truncated or corrupt."""
    try:
        return gzip.decompress(data)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DeliveryFault(
            "corrupt archive",
            f"the gzip of {len(data)} bytes is damaged or cut off ({error})",
            _DELIVER_AGAIN,
        ) from error
