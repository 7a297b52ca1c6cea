"""Delta tables at any path, read by Polars."""

from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

_LOCAL = "file://"


def scan_table(address: str, version: int | None = None) -> pl.LazyFrame:
    """Read a Delta table lazily, at its newest or the given version.

    Args:
        address: path or URL.

    Raises:
        deltalake.exceptions.TableNotFoundError: there is none.
    """
    return pl.scan_delta(_Readable(address, version=version))


class _Readable(DeltaTable):
    """A table whose files are named as they lie on the disk: Polars opens names as they are, deltalake encodes them."""

    @property
    def table_uri(self) -> str:
        return f"{_LOCAL}{self._root}" if self._is_local else super().table_uri

    def file_uris(self, *arguments, **named) -> list[str]:
        files = super().file_uris(*arguments, **named)
        if not self._is_local:
            return files
        encoded = super().table_uri.removeprefix(_LOCAL)
        return [f"{self._root}{file.removeprefix(encoded)}" for file in files]

    @property
    def _is_local(self) -> bool:
        return super().table_uri.startswith(_LOCAL)

    @property
    def _root(self) -> str:
        return unquote(super().table_uri.removeprefix(_LOCAL))
